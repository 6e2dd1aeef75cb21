"""Options that several commands share."""
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from agent.loop import Means

Db: TypeAlias = Annotated[str, typer.Option("--db", help="The archive: a file or a database URL.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print the end only.")]
FlowName: TypeAlias = Annotated[str, typer.Argument(metavar="FLOW", help="A file, or the name of a built-in flow.")]
CandidateId: TypeAlias = Annotated[int, typer.Argument(metavar="CANDIDATE", help="The number of a candidate.")]
RayAddress: TypeAlias = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="A running Ray cluster, or auto.")]
ClusterFile: TypeAlias = Annotated[Path | None, typer.Option(
    "--cluster", metavar="FILE", help="What workers may use, a TOML file (docs/operations.md).")]
Workers: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Stages at once; as many as there are GPUs, else one.")]
Thinking: TypeAlias = Annotated[bool | None, typer.Option("--thinking/--no-thinking", help="For models that have both modes.")]
Unsafe: TypeAlias = Annotated[bool, typer.Option("--unsafe", help="Load texts of others even where no sandbox works.")]
DEFAULT_DB = "results.db"


def means(timings: Path | None, cluster: Path | None, ray: str | None, workers: int | None, unsafe: bool) -> "Means":
    """What these options come to; an address and a number of workers go before those of the file. Raises EngineError."""
    from agent.cluster_file import read_cluster  # as below
    from agent.loop import Means  # what asks for this has loaded it; `--help` of others has not
    from evaluator import sandbox
    from evaluator.cluster import ClusterSettings

    if unsafe:
        sandbox.allow_unsafe()
    settings = ClusterSettings() if cluster is None else read_cluster(cluster)
    given: dict[str, Any] = {name: value for name, value in (("address", ray), ("workers", workers)) if value is not None}
    return Means(cluster=replace(settings, **given), timings=timings)
