"""`vortex check FLOW`: what a flow is, or what is wrong with it, without running anything."""
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer

from agent.cli.options import FlowName, Json
from agent.cli.text import columns, to_json
from vortex import flows
from vortex.compiler.bits import field_bytes
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Geometry, Graph


def command(
    flow: FlowName,
    model: Annotated[str | None, typer.Option(help="Take head_dim and group from this model.")] = None,
    block_size: Annotated[int, typer.Option(min=1, max=1024, help="Tokens a block.")] = 16,
    head_dim: Annotated[int, typer.Option(min=1, max=1024, help="Channels a head.")] = 128,
    group: Annotated[int, typer.Option(min=1, max=256, help="Query heads a kv head.")] = 4,
    json: Json = False,
) -> None:
    """Check one flow: loads, traces and checks it for a geometry. Exit code 2 when it is not legal."""
    name, text, path = flows.read(flow)
    geometry = Geometry(block_size, head_dim, group) if model is None else _of_model(model, block_size)
    try:
        graph = load(text, path, geometry)
    except VortexError as error:
        print(to_json(_refused(name, error)) if json else f"{error.report()}\n1 error. Nothing was compiled.")
        raise typer.Exit(error.exit_code) from None
    print(to_json(_described(graph)) if json else _sentence(graph))


def _of_model(model: str, block_size: int) -> Geometry:
    from vortex.serving.checkpoint import find_checkpoint  # a second of imports that other checks do without

    return find_checkpoint(model).shape.geometry(block_size)


def _described(graph: Graph) -> dict[str, Any]:
    ops = Counter(node.op for node in (*graph.cache, *graph.indexer))
    return {
        "ok": True, "name": graph.name, "hash": graph.hash, "geometry": asdict(graph.geometry),
        "fields": [{"name": f.name, "rows": f.rows, "cols": f.cols, "kind": str(f.kind)} for f in graph.fields],
        "ops": dict(sorted(ops.items())), "index_bytes_per_block": field_bytes(graph, OperatingPoint()), "errors": [],
    }


def _refused(name: str, error: VortexError) -> dict[str, Any]:
    return {"ok": False, "name": name, "hash": None, "fields": [], "ops": {}, "index_bytes_per_block": None,
            "errors": [dict(error.to_json())]}


def _sentence(graph: Graph) -> str:
    told = _described(graph)
    fields = ", ".join(f'{f["name"]} [{f["rows"]}, {f["cols"]}]' for f in told["fields"]) or "none"
    sizes = graph.geometry
    rows = [("ok", f"{graph.name}  {graph.hash}"),
            ("for", f"block size {sizes.block_size}, head dim {sizes.head_dim}, group {sizes.group}"),
            ("fields", f'{fields}  ({told["index_bytes_per_block"]:,} bytes a block and kv head in fp32)'),
            ("ops", ", ".join(f"{op} x{n}" if n > 1 else op for op, n in told["ops"].items()))]
    return columns(rows)
