"""Ideas by a model that are legal flows, and nothing measured: a campaign of its own whose only stage is arithmetic."""
import re
from dataclasses import replace
from itertools import count
from pathlib import Path

from agent.attendance import NobodyLeft
from agent.campaign import Campaign
from agent.desks import Models, make_models
from agent.loop import Loop, opened
from agent.opening import enter
from agent.prepare import Ready
from agent.proposers.registry import make_proposer
from agent.stop import Stopped
from agent.tables import ProposerTable, StageTable
from agent.watch import Watch
from evaluator.report import Status
from search.candidate import Candidate
from search.store.archive import Archive
from vortex.errors import CampaignError

MOST = 1000
AT_ONCE = 4                           # ideas asked for before those that came are told as had
TRIES = 3                             # rounds without one more legal idea


def campaign_for(like: Campaign, theme: str, model: str, dollars: float | None) -> Campaign:
    """The model, geometry and point of `like`; ideas are kept under a name that tells theme, model and limit apart.

    Raises CampaignError and Unpriced.
    """
    chosen = model or next((spec.model for spec in like.proposers if spec.model), "")
    if not chosen:
        raise CampaignError("innovate asks a language model, and none is named",
                            hint="--model claude-sonnet-4-5 (with ANTHROPIC_API_KEY), --model gpt-5 (with OPENAI_API_KEY), "
                                 "--model scripted:answers.jsonl, or --like a campaign whose proposers name one.")
    settings = {"theme": theme} if theme else {}
    spec = ProposerTable.model_validate({"kind": "one-shot", "model": chosen, "dollars": dollars, **settings})
    make_proposer(spec.kind, spec.settings)
    spec.check_model()
    own = replace(like, name="innovate", goal=theme or like.goal, controls=(), seeds=(), knobs=(), candidates=MOST,
                  minutes=24 * 60.0, round_size=AT_ONCE, proposers=(spec,), stages=(StageTable(name="static"),), text="")
    return replace(own, name=f"innovate-{own.hash[:6]}")


def innovate(campaign: Campaign, ready: Ready, archive: Archive, watch: Watch, wanted: int, folder: Path) -> bool:
    """Asks until there are `wanted` legal ideas, those of earlier runs included; each is a file of `folder`.

    False when it was stopped. Raises VortexError where the model cannot be asked.
    """
    models = make_models(campaign)
    enter(archive, campaign)
    with opened(campaign, ready.geometry, archive, watch) as loop:
        archive.set_state(campaign.name, "running")
        try:
            _until(loop, ready, archive, campaign, wanted, models)
        except NobodyLeft as nobody:
            if nobody.error is not None:
                raise nobody.error from None
        except Stopped:
            return False
        finally:
            write(archive, campaign.name, folder)
            loop.account()
            archive.set_state(campaign.name, "stopped")
    return True


def _until(loop: Loop, ready: Ready, archive: Archive, campaign: Campaign, wanted: int, models: Models) -> None:
    rounds, in_vain = loop.proposing(ready, models), 0
    for number in count(1):
        before = len(legal(archive, campaign.name))
        if before >= wanted or in_vain >= TRIES:
            return
        loop.round(rounds, number, min(AT_ONCE, wanted - before))
        in_vain = 0 if len(legal(archive, campaign.name)) > before else in_vain + 1


def legal(archive: Archive, campaign: str) -> list[Candidate]:
    """The ideas that are legal flows and new, in the order in which they came."""
    return [one for one in archive.candidates(campaign) if one.status is Status.OK]


def write(archive: Archive, campaign: str, folder: Path) -> None:
    """A file an idea. Raises CampaignError where the folder cannot be written."""
    for one in legal(archive, campaign):
        path = folder / file_name(one)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != one.flow.source:
                path.write_text(one.flow.source)
        except OSError as error:
            raise CampaignError(f"cannot write {path}: {error.strerror}", hint="Give --to another folder.") from error


def file_name(candidate: Candidate) -> str:
    """`0007-two-level-envelope.py`: the candidate's number and what of its name a file may have."""
    words = re.findall(r"[a-z0-9]+", candidate.name.lower())
    return f"{candidate.id:04d}-{'-'.join(words)[:48] or 'flow'}.py"


