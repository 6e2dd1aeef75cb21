"""Options that several commands share."""
from typing import Annotated, TypeAlias

import typer

Db: TypeAlias = Annotated[str, typer.Option("--db", help="The archive: a file or a database URL.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print the end only.")]
FlowName: TypeAlias = Annotated[str, typer.Argument(metavar="FLOW", help="A file, or the name of a built-in flow.")]
CandidateId: TypeAlias = Annotated[int, typer.Argument(metavar="CANDIDATE", help="The number of a candidate.")]
DEFAULT_DB = "results.db"
