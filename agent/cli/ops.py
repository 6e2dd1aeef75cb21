"""`vortex ops`: the words of the language, or one of them."""
import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from vortex.errors import UnknownOp
from vortex.language.ops.prose import called, listed, paragraph, tell

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Tell about this one; also an op object of the upstream.")]


def command(name: Name = None, json: Json = False) -> None:
    """The ops: how each is written, what it means, where it may stand."""
    ops = listed() if name is None else called(name)
    if not ops:
        raise UnknownOp(f"there is no op {name!r}", hint=_nearest(str(name), [op.name for op in listed()]))
    if json:
        print(to_json([{**tell(op), "paragraph": paragraph(op)} for op in ops]))
    elif name is None:
        print(columns([(op.name, op.usage, op.meaning) for op in ops]))
    else:
        print("\n\n".join(columns(_rows(tell(op))) for op in ops))


def _rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of what there is to tell; a list is told line by line."""
    lines = {key: value if isinstance(value, list) else [value] for key, value in told.items()}
    return [(key if at == 0 else "", str(line)) for key, values in lines.items() for at, line in enumerate(values)]


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]}?" if near else "`vortex ops` lists them."
