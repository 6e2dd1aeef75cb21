"""All kernels that a flow needs at a point, as they are built ahead of time for a chip."""
from dataclasses import replace

import torch

from vortex.compiler.kernels.attention_ahead import attention_kernels
from vortex.compiler.kernels.attention_shape import AttentionShape
from vortex.compiler.kernels.finish import finishes, finishing
from vortex.compiler.kernels.generate import Text, Texts, generate
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.planner import Planner, listed
from vortex.compiler.kernels.selection import selection_kernel
from vortex.compiler.kernels.sources import Types, field_dtype, field_name
from vortex.compiler.kernels.statistics import statistic_kernel
from vortex.compiler.kernels.workspace import WorkShape
from vortex.compiler.selection import rules
from vortex.compiler.step_cost import kernel_bytes
from vortex.config import OperatingPoint
from vortex.errors import CompileError
from vortex.ir import Graph
from vortex.language.ops.record import find

REQUESTS, CONTEXT = 16, 32_768            # the step that estimates are told for
STRIDES = ("N", "k_h", "k_p", "k_s", "v_h", "v_p", "v_s")
OLDEST_WITH_E4M3 = 89


def kernels_for(graph: Graph, point: OperatingPoint, target: str, *, heads: int = 8, types: Types | None = None,
                requests: int = REQUESTS, context: int = CONTEXT) -> tuple[Kernel, ...]:
    """In the order of a decode step: update, plan, what scores, select, attend; then the dense control.

    Raises CompileError for what the target has no instructions for.
    """
    types = types or Types()
    heads = 1 if graph.geometry.latent else heads
    texts, found = generate(graph, point, types), rules(graph)
    blocks = -(-context // (point.block_size * 16)) * 16
    shape = WorkShape(requests=requests, heads=heads, blocks=blocks, rules=len(found), chunk=texts.chunk,
                      listed=listed(point, found, blocks, 0, heads))
    moved = kernel_bytes(graph, point, graph.geometry, heads, requests, context, getattr(torch, types.kv).itemsize)
    fused = finishes(blocks)
    if texts.score is not None and fused:
        texts = replace(texts, score=finishing(texts.score, found, shape, point))
    own = _own(graph, point, texts, target, {"update": moved.get("update", 0), **_read(graph, point, texts, shape, types)})
    selecting = () if fused or texts.score is None else \
        (replace(selection_kernel(found, shape, point), bytes_moved=moved.get("select", 0)),)
    plan = Planner(found, point, shape, 0, torch.device("cpu")).kernels() if texts.score is not None else ()
    return (*own[:1 if texts.update else 0], *plan, *own[1 if texts.update else 0:], *selecting,
            *_attention(graph, types, target, texts.score is not None, bool(texts.fused.mass), moved.get("attend", 0)))


def _own(graph: Graph, point: OperatingPoint, texts: Texts, target: str, moved: dict[str, int]) -> list[Kernel]:
    """Of the flow itself, statistics between the phases included."""
    made = [_kernel(text, target, moved, note) for text, note in
            ((texts.update, "a block is complete once in many steps"), (texts.rows, "the same for all blocks of a row")) if text]
    for text, phase in zip(texts.phases, texts.fused.phases, strict=True):
        kinds = {find(graph.indexer[index].op).statistic for index in phase.statistics}
        ending = ", ".join(graph.indexer[node].op for node in phase.keeps)
        made.append(_kernel(text, target, moved, f"{ending} must be known of every block before what follows"))
        made.extend(statistic_kernel(f"overall.{kind}", kind, point.block_reserved_bos) for kind in sorted(kinds))
    return made + ([_kernel(texts.score, target, moved, texts.score.note)] if texts.score else [])


def _read(graph: Graph, point: OperatingPoint, texts: Texts, shape: WorkShape, types: Types) -> dict[str, int]:
    """Bytes that each launch over blocks moves: what it reads of every scored block by the names of its arguments."""
    geometry = graph.geometry
    whole = geometry.block_size * geometry.head_dim * int(getattr(torch, types.kv).itemsize)
    sizes = {"k": whole, "v": whole, "scores": 4 * shape.rules}
    sizes |= {field_name(graph, f.name): f.rows * f.cols * int(getattr(torch, field_dtype(graph, point, f)).itemsize)
              for f in graph.fields}
    sizes |= {name: 4 * graph.indexer[node].type.rows * graph.indexer[node].type.cols for node, name in texts.kept.blocks.items()}
    scored = shape.rows * (shape.blocks - point.block_reserved_eos)
    return {text.name: scored * sum(sizes.get(name, 0) for name in text.arguments)
            for text in (*texts.phases, texts.score) if text is not None}


def _kernel(text: Text, target: str, moved: dict[str, int], note: str = "") -> Kernel:
    if int(target.removeprefix("sm_")) < OLDEST_WITH_E4M3 and any(type_ == "*fp8e4nv" for type_ in text.arguments.values()):
        raise CompileError(f"kernel {text.name} ({', '.join(text.covers)}) reads or writes fp8 (e4m3), and {target} has no such "
                           "type", op="quantize" if "quantize" in text.covers else "",
                           hint='Quantize to "int8" or "fp8_e5m2", keep KV in bfloat16, or name a target from sm_90 on.')
    aligned = tuple(name for name, type_ in text.arguments.items() if type_.startswith("*") or name in STRIDES)
    return Kernel(name=text.name, source=text.source, entry=text.name, signature=text.arguments, constants=text.constants,
                  aligned=aligned, warps=text.warps, contraction=False, covers=text.covers, note=note,
                  bytes_moved=moved.get(text.name, 0))


def _attention(graph: Graph, types: Types, target: str, sparse: bool, mass: bool, moved: int) -> tuple[Kernel, ...]:
    geometry = graph.geometry
    shape = AttentionShape(group=geometry.group, channels=geometry.head_dim, values=geometry.kv_lora_rank or geometry.head_dim,
                           block_size=geometry.block_size, sparse=sparse, dtype=getattr(torch, types.query),
                           cache=getattr(torch, types.kv), rank=geometry.kv_lora_rank, upcast=types.query == "float32",
                           chip=int(target.removeprefix("sm_")))
    made = attention_kernels(shape, mass=mass)
    dense = attention_kernels(replace(shape, sparse=False)) if sparse else ()
    return (replace(made[0], bytes_moved=moved), *made[1:], *dense)
