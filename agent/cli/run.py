"""`vortex run CAMPAIGN.toml`: runs a campaign, goes on with it, or shows it when it is finished."""
from pathlib import Path
from typing import Annotated

import typer

from agent import campaign as campaigns
from agent.campaign import Campaign
from agent.cli.frontier import told
from agent.cli.live import watch_for
from agent.cli.options import DEFAULT_DB, ClusterFile, Db, Json, Quiet, RayAddress, Unsafe, Workers, means
from agent.cli.text import to_json_line
from agent.desks import make_models
from agent.loop import Means, Outcome, run
from agent.opening import enter
from agent.prepare import Ready, prepare
from search.store.archive import Archive, open_archive
from vortex.errors import ArchiveError

Timings = Annotated[Path | None, typer.Option(help="Replay speed timings that stand in this file; add those that do not.")]


def command(  # noqa: PLR0913  (options of a command line)
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="A TOML file, or the name of a shipped one.")],
    set: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="budget.candidates=8; repeatable.")] = None,
    db: Db = DEFAULT_DB,
    quiet: Quiet = False,
    json: Json = False,
    timings: Timings = None,
    cluster: ClusterFile = None,
    ray: RayAddress = None,
    workers: Workers = None,
    unsafe: Unsafe = False,
) -> None:
    """Run a campaign. The same command goes on with one that was interrupted, and shows one that is finished.

    Proposers that ask a language model (model = "claude-..." in the campaign file) take its key from the environment:
    ANTHROPIC_API_KEY or OPENAI_API_KEY. What a campaign may spend stands in its [budget]; `vortex estimate` says before,
    and `vortex status` while it runs, what that comes to. model = "scripted:answers.jsonl" takes answers from a file.
    """
    chosen, given = campaigns.load(campaign, set or []), means(timings, cluster, ray, workers, unsafe)
    ready = prepare(chosen)
    if not _is_finished(db, chosen.name):
        make_models(chosen)           # a missing key is told before anything is written
    archive = open_archive(db)
    finished = enter(archive, chosen).state == "finished"
    go_on(archive, chosen, None if finished else ready, Shown(db, quiet, json), given)


def _is_finished(db: str, name: str) -> bool:
    try:
        archive = open_archive(db, create=False)
    except ArchiveError:
        return False
    record = archive.campaign(name)
    archive.close()
    return record is not None and record.state == "finished"


class Shown:
    """How a run is shown: `place` is the archive as the user named it."""

    def __init__(self, place: str, quiet: bool, json: bool) -> None:
        self.place, self.quiet, self.json = place, quiet, json


def go_on(archive: Archive, campaign: Campaign, ready: Ready | None, shown: Shown, given: Means) -> None:
    """Runs what is left, unless nothing is (`ready` is None), and shows the frontier.

    Exit code 130 when it was stopped, 1 when the machines kept it from judging every candidate.
    """
    outcome = None if ready is None else _run(archive, campaign, ready, shown, given)
    if shown.json:
        print(to_json_line({"event": "ended", "campaign": campaign.name, "finished": outcome is None or outcome.finished,
                            "overhead": None if outcome is None else outcome.overhead}))
    elif outcome is None or outcome.finished:
        print(f"\n{campaign.name} is finished" + ("" if outcome is None else f"; the loop itself took {outcome.overhead:.1%}"))
        print(told(archive, campaign.name))
    if outcome is not None and not outcome.finished:
        raise typer.Exit(1 if outcome.unsettled else 130)


def _run(archive: Archive, campaign: Campaign, ready: Ready, shown: Shown, given: Means) -> Outcome:
    with watch_for(campaign, shown.place, quiet=shown.quiet, json=shown.json) as watch:
        return run(campaign, ready, archive, watch, given)
