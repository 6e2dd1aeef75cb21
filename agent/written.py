"""What a round proposed, as an event of the archive: written before the first of it is judged, and read after a kill."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.claims import Claim
from agent.proposers.base import Proposal
from search.store.archive import Archive
from vortex import errors
from vortex.config import make_point
from vortex.errors import CampaignError, VortexError
from vortex.ir import Parameter

KIND = "round"


@dataclass(frozen=True)
class Share:
    """What one proposer was asked for and gave; `proposals` is None for one that needs no model: it gives them again."""

    label: str
    count: int
    proposals: tuple[Proposal, ...] | None


def write(archive: Archive, campaign: str, number: int, shares: Sequence[Share]) -> None:
    """Raises ArchiveError."""
    given = [one for share in shares for one in share.proposals or ()]
    archive.keep({parameter.digest: parameter.data for one in given for parameter in one.parameters})
    archive.event(campaign, KIND, {"round": number, "shares": [
        {"label": one.label, "count": one.count,
         "proposals": None if one.proposals is None else [_json(proposal) for proposal in one.proposals]}
        for one in shares]})


def read(archive: Archive, campaign: str, number: int) -> tuple[Share, ...] | None:
    """None: nothing was written of this round."""
    for event in archive.events(campaign):
        if event.kind == KIND and event.data["round"] == number:
            given = [one for share in event.data["shares"] for one in share["proposals"] or ()]
            contents = archive.contents({told["digest"] for one in given for told in one.get("parameters", ())})
            return tuple(_share(one, contents) for one in event.data["shares"])
    return None


def _share(body: Mapping[str, Any], contents: Mapping[str, bytes]) -> Share:
    told = body["proposals"]
    return Share(body["label"], body["count"], None if told is None else tuple(_proposal(one, contents) for one in told))


def _json(one: Proposal) -> dict[str, Any]:
    return {"name": one.name, "source": one.source, "point": one.point.model_dump(mode="json"), "author": one.author,
            "hypothesis": one.hypothesis, "parents": list(one.parents), "claim": one.claim and one.claim.to_json(),
            "refusal": one.refusal and dict(one.refusal.to_json()),
            "parameters": [{"file": p.file, "key": p.key, "shape": list(p.shape), "digest": p.digest} for p in one.parameters]}


def _proposal(body: Mapping[str, Any], contents: Mapping[str, bytes]) -> Proposal:
    claim, refusal = body["claim"], body["refusal"]
    return Proposal(name=body["name"], source=body["source"], point=make_point(body["point"]), author=body["author"],
                    hypothesis=body["hypothesis"], parents=tuple(body["parents"]), claim=claim and Claim.from_json(claim),
                    refusal=refusal and _refusal(refusal),
                    parameters=tuple(Parameter(p["file"], p["key"], tuple(p["shape"]), p["digest"], contents[p["digest"]])
                                     for p in body.get("parameters", ())))


def _refusal(body: Mapping[str, Any]) -> VortexError:
    kind = getattr(errors, body["code"], CampaignError)
    made: VortexError = kind(body["message"], hint=body["hint"])
    return made
