"""`vortex compile FLOW`: the flow's kernels and their machine code for GPUs, without a GPU."""
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.cost import Settings, find_model, graph_for, point_of
from agent.cli.options import FlowName, Json
from agent.cli.text import columns, to_json
from vortex import flows
from vortex.compiler.front import latent_of, load, load_usual
from vortex.compiler.kernels.machine_code import SHARED_LIMIT
from vortex.compiler.kernels.report import CHIP_OF, KernelReport, Report
from vortex.compiler.kernels.store import Store, key_of
from vortex.compiler.pipeline import reports
from vortex.errors import CompileError, PointError
from vortex.ir import Geometry, Graph

PROCESSES = 2
HEADS = 8
HEAD = ("kernel", "registers", "spills", "shared", "in vectors", "instructions", "time", "of")
Archs = Annotated[list[str] | None, typer.Option("--arch", metavar="ARCH", help=f"{', '.join(SHARED_LIMIT)}; repeatable.")]


class FieldFormat(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class KvFormat(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    E4M3 = "float8_e4m3fn"
    E5M2 = "float8_e5m2"


def command(  # noqa: PLR0913  # an option each
    flow: FlowName,
    arch: Archs = None,
    report: Annotated[bool, typer.Option("--report", help="Every kernel: registers, spills, shared memory, time.")] = False,
    to: Annotated[Path | None, typer.Option(help="Write the kernels' source and PTX into this folder.")] = None,
    model: Annotated[str | None, typer.Option(help="Take head_dim, group and kv heads from this model.")] = None,
    block_size: Annotated[int | None, typer.Option(min=1, max=1024, help="Tokens a block, usually 16.")] = None,
    head_dim: Annotated[int | None, typer.Option(min=1, max=1024, help="Channels a head, usually 128.")] = None,
    group: Annotated[int | None, typer.Option(min=1, max=256, help="Query heads a kv head, usually 4.")] = None,
    dtype: Annotated[FieldFormat | None, typer.Option(help="Of summaries and state, usually bfloat16.")] = None,
    kv: Annotated[KvFormat, typer.Option(help="Of keys and values.")] = KvFormat.BFLOAT16,
    point: Annotated[Path | None, typer.Option(help="The operating point, a TOML file.")] = None,
    set: Settings = None,
    json: Json = False,
) -> None:
    """Build a flow's kernels for GPUs, without a GPU, and tell what they are. Exit code 2 where one is not as it should be.

    What was built before is taken from the cache ($VORTEX_CACHE, else vortex/ in the user's cache). Times are bytes over the
    data sheet's bandwidth (H200 for sm_90), at batch 16 x 32K and 8 kv heads; nothing is measured.
    """
    changes = [f"{name}={value}" for name, value in (("block_size", block_size), ("dtype", dtype and f'"{dtype}"')) if value]
    at = point_of(point, [*changes, *(set or [])], flow)
    graph, heads = _graph(flow, model, at.block_size, head_dim, group)
    targets = list(dict.fromkeys(arch or [at.target or "sm_90"]))
    found = reports(graph, at, targets, heads=heads, kv_dtype=kv, processes=PROCESSES)
    files = _written(found, graph, to) if to else []
    if json:
        print(to_json({"ok": not any(one.code for one in found), "name": graph.name, "hash": graph.hash, "point": at.hash,
                       **_record(found), "files": files}))
    else:
        print("\n\n".join(_table(one) for one in found) if report else "\n".join(_line(graph, one) for one in found))
        print(f"{len(files)} files in {to}" if to else f"sources: {Store.usual().folder.parent / 'sources'}")
    refusals = [one.refusal for one in found if one.refusal]
    if refusals and not json:
        raise refusals[0]
    raise typer.Exit(2 if refusals else 0)


def _graph(flow: str, model: str | None, block_size: int, head_dim: int | None, group: int | None) -> tuple[Graph, int]:
    """And the kv heads of the model. Raises FlowError, ModelError."""
    _, text, path = flows.read(flow)
    if model is None:
        usual = Geometry(block_size, head_dim or Geometry().head_dim, group or Geometry().group)
        return load(text, path, usual, latent=latent_of(block_size, head_dim, group)) if head_dim or group else \
            load_usual(text, path, block_size=block_size), HEADS
    if head_dim or group:
        raise PointError("--model says what head_dim and group are", hint="Leave --head-dim and --group out, or --model.")
    sizes = find_model(model)
    return graph_for(flow, sizes, block_size)[1], sizes.pool_heads


def _line(graph: Graph, one: Report) -> str:
    built = [kernel.built for kernel in one.kernels]
    spilling = sum(facts.spills > 0 for facts in built)
    told = [f"{len(built)} kernels", f"{spilling} of them spill" if spilling else "no spills",
            f"at most {max(facts.registers for facts in built)} registers",
            f"{max(facts.shared for facts in built):,} of {built[0].shared_limit:,} bytes of shared memory"]
    return f"{one.code or 'ok'}  {graph.name}  {one.target}: {', '.join(told)}"


def _table(one: Report) -> str:
    rows = [(kernel.kernel.name, str(kernel.built.registers), f"{kernel.built.spills:,}", f"{kernel.built.shared:,}",
             f"{kernel.built.vectorised:.0%}", f"{kernel.built.instructions:,}", _time(kernel), _about(kernel))
            for kernel in one.kernels]
    limit = one.kernels[0].built.shared_limit
    return (f"{one.target} ({CHIP_OF[one.target].name}; a block of threads has {limit:,} bytes of shared memory)\n"
            + columns([HEAD, *rows]))


def _time(kernel: KernelReport) -> str:
    return "" if kernel.time_us is None else "< 0.1 us" if kernel.time_us < 0.1 else f"{kernel.time_us:.1f} us"


def _about(kernel: KernelReport) -> str:
    """What was fused into it, why it is one of its own, what is wrong with it."""
    parts = (", ".join(dict.fromkeys(kernel.kernel.covers)), f"({kernel.kernel.note})" if kernel.kernel.note else "",
             f"[{kernel.code}]" if kernel.code else "")
    return " ".join(part for part in parts if part)


def _record(found: Sequence[Report]) -> dict[str, Any]:
    told = [one.to_json() for one in found]
    return {"targets": [{name: value for name, value in one.items() if name != "kernels"} for one in told],
            "kernels": [{"target": one["target"], **kernel} for one in told for kernel in one["kernels"]],
            "errors": [dict(one.refusal.to_json()) for one in found if one.refusal]}


def _written(found: Sequence[Report], graph: Graph, folder: Path) -> list[str]:
    """Source and PTX of each kernel; their names. Raises CompileError."""
    store, files = Store.usual(), dict[str, str]()
    for one in found:
        for each in one.kernels:
            stem = f"{graph.name}.{each.kernel.name}.{one.target}"
            files[f"{stem}.py"] = each.kernel.source
            files[f"{stem}.ptx"] = store.ptx(key_of(each.kernel, one.target))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if text:
                (folder / name).write_text(text)
    except OSError as error:
        raise CompileError(f"cannot write to {folder}: {error}", hint="Name a folder that can be written.") from error
    return [name for name, text in files.items() if text]
