"""`vortex confirm [CAMPAIGN]`: candidates on problems that the search has never seen, after the fact; or the last exam."""
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agent.cli.candidates import candidate_of
from agent.cli.frontier import told
from agent.cli.live import watch_for
from agent.cli.options import DEFAULT_DB, ClusterFile, Db, Json, Quiet, RayAddress, Unsafe, Workers, means
from agent.cli.text import columns, to_json
from agent.confirming import attempts
from agent.exams import CONFIRM, SEALED
from agent.loop import Loop, opened
from agent.opening import recorded, reopen
from agent.prepare import prepare
from agent.stop import Stopped
from evaluator.report import StageResult, Status
from evaluator.tasks.parts import Part
from search.candidate import Candidate
from search.store.archive import Archive, open_archive
from vortex.errors import CampaignError

Chosen = Annotated[list[int] | None, typer.Option("--candidate", metavar="N", help="This one; repeatable.")]
Sealed = Annotated[bool, typer.Option("--sealed", help="The last exam, on the sealed set; each use wears it out.")]


def command(  # noqa: PLR0913  (options of a command line)
    name: Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="A campaign; the latest one without.")] = None,
    candidate: Chosen = None,
    sealed: Sealed = False,
    db: Db = DEFAULT_DB,
    quiet: Quiet = False,
    json: Json = False,
    cluster: ClusterFile = None,
    ray: RayAddress = None,
    workers: Workers = None,
    unsafe: Unsafe = False,
) -> None:
    """Run what may stand on the frontier again, on secret problems and in fresh timings, and say what is confirmed.

    Confirmed is what is better, in accuracy or in speed, than dense, than each known algorithm among the controls and than
    what was confirmed before. All attempts of a campaign share one level, so each makes the next a little harder.
    """
    given = means(None, cluster, ray, workers, unsafe)
    archive = open_archive(db, create=False)
    campaign = reopen(archive, recorded(archive, name).name)
    part: Part = SEALED if sealed else CONFIRM
    chosen = tuple(_measured(archive, campaign.name, id) for id in candidate or ())
    if sealed:
        chosen = chosen or _confirmed(archive, campaign.name)
    ready, before = prepare(campaign), len(attempts(archive, campaign.name, part))
    try:
        with (watch_for(campaign, db, quiet=quiet or not json, json=json) as watch,
              opened(campaign, ready.geometry, archive, watch, given) as loop):
            _hold(loop, part, chosen)
    except Stopped:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        raise typer.Exit(130) from None
    _show(archive, campaign.name, part, before, json=json)
    if not json and not quiet:
        print(told(archive, campaign.name))


def _hold(loop: Loop, part: Part, chosen: Sequence[int]) -> None:
    try:
        loop.controls()
        loop.exam(part, chosen, asked=True)
    finally:
        loop.account()


def _measured(archive: Archive, campaign: str, id: int) -> int:
    """Raises ArchiveError and CampaignError."""
    one = candidate_of(archive, id)
    if one.campaign != campaign or one.tier == "control" or one.status is not Status.OK:
        what = "a control" if one.tier == "control" else f"of campaign {one.campaign}, and ended {one.status}"
        raise CampaignError(f"{id} cannot be confirmed in {campaign}: it is {what}",
                            hint="It must be a candidate of this campaign that passed every stage: vortex frontier --all")
    return id


def _confirmed(archive: Archive, campaign: str) -> tuple[int, ...]:
    """Raises CampaignError: the sealed set is not for looking around."""
    found = tuple(one.id for one in archive.candidates(campaign) if one.tier == "confirmed")
    if not found:
        raise CampaignError(f"nothing is confirmed in {campaign}", hint="Confirm first, or name one: --candidate N")
    return found


def _show(archive: Archive, campaign: str, part: Part, before: int, *, json: bool) -> None:
    tried = attempts(archive, campaign, part)
    lines = [(one, attempt, archive.book(one).result(part)) for id, attempt in tried.items()
             if (one := archive.candidate(id)) is not None]
    uses = len(tried)
    if json:
        print(to_json({"event": "ended", "campaign": campaign, "set": part, "uses": uses,
                       "candidates": [_record(one, attempt, result) for one, attempt, result in lines]}))
        return
    if not lines:
        print(f"{campaign}: no candidate is likely enough to be on the frontier to be tried")
        return
    print(columns([("#", "attempt", "flow", "ended", ""), *(_line(one, attempt, result) for one, attempt, result in lines)]))
    if part == SEALED and uses > 1 and uses > before:
        print(f"The sealed set of {campaign} was used {uses} times. What is chosen after looking at it is no longer measured "
              "by it: only its first use is an honest last exam.")
    else:
        print(f"The {part} set of {campaign} was used {uses} time{'s' * (uses != 1)}.")


def _line(one: Candidate, attempt: int, result: StageResult | None) -> tuple[str, ...]:
    text = "not measured" if result is None else result.code or str(result.facts.get("text", ""))
    ended = one.tier if result is not None and result.status is Status.OK else "-"
    return str(one.id), str(attempt), one.name, ended, text


def _record(one: Candidate, attempt: int, result: StageResult | None) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "tier": one.tier, "attempt": attempt,
            "status": None if result is None else result.status, "facts": {} if result is None else dict(result.facts)}
