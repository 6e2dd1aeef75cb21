"""`vortex eval FLOW`: the funnel on one flow beside the controls, stored like any candidate."""
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent import campaign as campaigns
from agent.cli.frontier import told
from agent.cli.live import watch_for
from agent.cli.options import DEFAULT_DB, ClusterFile, Db, FlowName, Json, Quiet, RayAddress, Unsafe, Workers, means
from agent.cli.text import to_json_line
from agent.prepare import prepare
from agent.single import campaign_for, judge_flow, read_point
from agent.stop import Stopped
from evaluator.report import Status
from search.store.archive import open_archive
from vortex import flows


def command(  # noqa: PLR0913  (options of a command line)
    flow: FlowName,
    point: Annotated[Path | None, typer.Option(help="The operating point, a TOML file; else that of the campaign.")] = None,
    like: Annotated[str, typer.Option(help="Take the stages and the controls of this campaign.")] = "quickstart",
    db: Db = DEFAULT_DB,
    quiet: Quiet = False,
    json: Json = False,
    cluster: ClusterFile = None,
    ray: RayAddress = None,
    workers: Workers = None,
    unsafe: Unsafe = False,
) -> None:
    """Judge one flow on the model and by the stages of a campaign, beside its controls; exams are for campaigns alone.

    Without --like that is quickstart: the shipped probe, no traces and no audit. Exit code 1 when it did not pass every stage.
    """
    given = means(None, cluster, ray, workers, unsafe)
    text, base = flows.read(flow), campaigns.load(like)
    at = base.point.with_(**flows.settings(text[2])) if point is None else read_point(point, base)
    campaign = campaign_for(base, at)
    ready = prepare(campaign)
    archive = open_archive(db)
    try:
        with watch_for(campaign, db, quiet=quiet, json=json) as watch:
            entry = judge_flow(text, campaign, ready, archive, watch, given)
    except Stopped:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        raise typer.Exit(130) from None
    if json:
        print(to_json_line({"event": "ended", "campaign": campaign.name, "id": entry.candidate.id,
                            "status": entry.candidate.status}))
    else:
        print(told(archive, campaign.name, all_of_them=True))
        print(f"{entry.candidate.id} ended {entry.candidate.status}; more: vortex show {entry.candidate.id}")
    if entry.candidate.status is not Status.OK:
        raise typer.Exit(1)
