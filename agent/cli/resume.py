"""`vortex resume NAME`: goes on with a campaign that the archive knows."""
from typing import Annotated

import typer

from agent.cli.options import DEFAULT_DB, ClusterFile, Db, Json, Quiet, RayAddress, Unsafe, Workers, means
from agent.cli.run import Shown, Timings, go_on
from agent.opening import recorded, reopen
from agent.prepare import prepare
from search.store.archive import open_archive


def command(  # noqa: PLR0913  (options of a command line)
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A campaign; the latest one without.")] = None,
    db: Db = DEFAULT_DB,
    quiet: Quiet = False,
    json: Json = False,
    timings: Timings = None,
    cluster: ClusterFile = None,
    ray: RayAddress = None,
    workers: Workers = None,
    unsafe: Unsafe = False,
) -> None:
    """Go on with a campaign where it stood; its settings are those it was started with.

    Answers of language models that were paid for are kept in the archive and not asked for again. A proposer that left
    because its model could not be reached is asked again.
    """
    given = means(timings, cluster, ray, workers, unsafe)
    archive = open_archive(db, create=False)
    record = recorded(archive, name)
    campaign = reopen(archive, record.name)
    ready = None if record.state == "finished" else prepare(campaign)
    go_on(archive, campaign, ready, Shown(db, quiet, json), given)
