"""`vortex flows`: the built-in flows, or the source of one."""
import ast
from typing import Annotated

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from vortex import flows


def command(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print the source of this one.")] = None,
            json: Json = False) -> None:
    """The built-in flows, algorithms first, then controls; or the source of one."""
    if name is not None:
        short, text, path = flows.read(name)
        print(to_json({"name": short, "path": path, "source": text}) if json else text.rstrip())
        return
    told = [(short, _summary(short)) for short in flows.names()]
    print(to_json([{"name": short, "summary": summary} for short, summary in told]) if json else columns(told))


def _summary(name: str) -> str:
    return (ast.get_docstring(ast.parse(flows.read(name)[1])) or "").partition("\n")[0]
