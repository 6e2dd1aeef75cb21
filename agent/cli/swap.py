"""`vortex swap SERVER --flow F`: another flow in a running server, whose weights stay where they are."""
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import Json
from agent.cli.served import Bundle, Changes, Flow, Point, served
from agent.cli.text import columns, to_json
from search.words import bytes_text
from vortex.errors import EngineError
from vortex.serving.sglang.control import Control
from vortex.serving.sglang.running import find
from vortex.serving.sglang.settings import FILE, VARIABLE, read_settings

PATIENCE_S = 600.0                    # kernels may have to be built


def command(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="http://127.0.0.1:30000, or its port.")],
    flow: Flow = None,
    bundle: Bundle = None,
    dense: Annotated[bool, typer.Option("--dense", help="No flow: SGLang's own attention.")] = False,
    point: Point = None,
    set: Changes = None,
    folder: Annotated[Path | None, typer.Option(help="Of settings, where another command started it.")] = None,
    json: Json = False,
) -> None:
    """Swap the flow of a running server. Requests in flight go on with the new one; a flow that is refused changes nothing."""
    if (flow is None and bundle is None) != dense:
        raise EngineError("one of --flow, --bundle and --dense says what to serve", hint=f"vortex swap {server} --flow quest")
    model, room, ranks = _place(server, folder)
    asked = served(model, flow, bundle, point, set or [], ranks)
    graph = None if asked.graph is None else asked.graph.to_json()
    answers = Control(room).ask({"do": "use", "graph": graph, "point": asked.point.model_dump(mode="json")}, timeout_s=PATIENCE_S)
    told = {"flow": asked.name, "point": asked.point.model_dump(mode="json"), **_summed(answers)}
    if json:
        print(to_json(told))
    else:
        print(columns([("flow", asked.text), ("summaries", bytes_text(told["index_bytes"])),
                       ("prefix cache", "on" if told["radix"] else "off: the flow keeps state of each request"),
                       ("swapped in", f"{told['seconds']:.2f} s")]))


def _place(server: str, folder: Path | None) -> tuple[str, Path, int]:
    """The model that it serves, the folder of its control address, and the ranks that share a layer's heads out.

    Raises EngineError.
    """
    if folder is None:
        found = find(server)
        return found.model, Path(found.folder), found.ranks
    if not (folder / FILE).is_file():
        raise EngineError(f"no server has left its settings in {folder}",
                          hint='It is the "folder" of VORTEX_SGLANG, or of the line that vortex serve --json prints.')
    settings = read_settings({VARIABLE: f"@{folder / FILE}"})
    assert settings is not None
    return settings.point.model, folder, 1


def _summed(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Over ranks: the slowest, and the memory of all."""
    return {"seconds": max(one["seconds"] for one in answers), "index_bytes": sum(one["index_bytes"] for one in answers),
            "radix": all(one["radix"] for one in answers)}
