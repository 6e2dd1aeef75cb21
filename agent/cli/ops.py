"""`vortex ops`: the words of the language, or one of them."""
import difflib
from typing import Annotated, Any

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from vortex.errors import UnknownOp
from vortex.language.ops.record import OPS, Op


def command(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Tell about this one.")] = None,
            json: Json = False) -> None:
    """The ops: how each is written, what it means, where it may stand."""
    if name is not None and name not in OPS:
        raise UnknownOp(f"there is no op {name!r}", hint=_nearest(name))
    told = [_told(op) for op in OPS.values() if name in (None, op.name)]
    if json:
        print(to_json(told))
    elif name is None:
        print(columns([(one["name"], one["usage"], one["meaning"]) for one in told]))
    else:
        print(columns([(key, value if isinstance(value, str) else ", ".join(value)) for key, value in told[0].items()]))


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, OPS, n=1)
    return f"Did you mean {near[0]}?" if near else "`vortex ops` lists them."


def _told(op: Op) -> dict[str, Any]:
    return {"name": op.name, "usage": op.usage, "meaning": op.meaning, "sides": sorted(str(side) for side in op.sides)}
