"""Every op's samples as kernels equal its reference, number by number: in the indexer by state, in the cache by summaries."""
from collections.abc import Callable

import pytest
import torch

from tests.compiler.edits import Draft
from tests.compiler.kernels.numerics import KernelWorld
from tests.compiler.world import LAYER
from vortex.compiler import reference
from vortex.config import OperatingPoint
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.ops.record import OPS, Sample, Side

GEOMETRY = Geometry(block_size=8, head_dim=8, group=4)
POINT = OperatingPoint(block_size=8, topk_val=1, topk_ratio=0.0)
LENS = [43]                                                   # 5 complete blocks and an open one, 4 of them scored
# Leaves stand in every Graph here or in tests of flows; picking has tests of its own.
APART = {"param", "declared", "input", "field", "state", "const", "everything", "topk", "top_p", "threshold", "union"}
TIES = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "sign", "largest", "take"}
NAMES = sorted(name for name, op in OPS.items() if name not in APART and op.written_as is None)


def operand(draft: Draft, source: int, type_: Type, start: int) -> int:
    """`rows` x `cols` neighbours of a value's numbers, from number `start` on."""
    total, size = draft.type(source).rows * draft.type(source).cols, type_.rows * type_.cols
    start = min(start, total - size)
    flat = draft.put("reshape", source, rows=1, cols=total)
    part = flat if size == total else draft.put("slice", flat, dim=2, start=start, stop=start + size)
    return draft.put("reshape", part, rows=type_.rows, cols=type_.cols)


def put(draft: Draft, name: str, sample: Sample, source_of: Callable[[Type, int], int]) -> int:
    args = [draft.number(0.5) if t.lead is Lead.CONST else operand(draft, source_of(t, place), t, 5 * place)
            for place, t in enumerate(sample.args)]
    return draft.put(name, *args, **sample.attrs)


def drafted(side: Side) -> Draft:
    return Draft(Graph("op", GEOMETRY, (), (), (), (), (), 0), side)


def of_indexer(name: str) -> Graph:
    """A state for each sample, saved from its result; keys are a field, or the query a row."""
    draft = drafted(Side.INDEXER)
    q, k = draft.put("input", name="q"), draft.put("field", name="k")
    place = draft.put("position")
    shown = draft.put("greater_equal", place, draft.number(0.0))
    states: list[Field] = []
    saves: list[tuple[str, int]] = []
    for sample in OPS[name].samples:
        node = put(draft, name, sample, lambda type_, _: q if type_.lead is Lead.ROW else k)
        if draft.type(node).lead is not Lead.BLOCK:           # a state is by block
            node = draft.put("where", shown, node, draft.number(0.0))
        saves.append((f"s{len(states)}", node))
        states.append(Field(saves[-1][0], *draft.type(node).shape, FieldKind.STATE, 7.0))
    draft.nodes.append(Node("topk", (place,), (), SELECTION))
    return Graph(name, GEOMETRY, tuple(states), (), (), tuple(draft.nodes), tuple(saves), len(draft.nodes) - 1)


def of_cache(name: str) -> Graph:
    """A summary for each sample, made of keys and values."""
    draft = drafted(Side.CACHE)
    pools = [draft.put("field", name=pool) for pool in ("k", "v")]
    writes = [(f"f{i}", put(draft, name, sample, lambda _, place: pools[place % 2]))
              for i, sample in enumerate(OPS[name].samples)]
    fields = tuple(Field(key, *draft.type(node).shape) for key, node in writes)
    return Graph(name, GEOMETRY, fields, tuple(draft.nodes), tuple(writes),
                 (Node("position", (), (), Type(Lead.BLOCK, 1, 1)), Node("topk", (0,), (), SELECTION)), (), 1)


def close(made: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(made.float().cpu(), right, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", [n for n in NAMES if Side.INDEXER in OPS[n].sides])
def test_an_op_of_the_indexer(name: str) -> None:
    world = KernelWorld(of_indexer(name), POINT, list(LENS), whole=name in TIES)
    plan, q = world.plan(), world.query()
    world.program.select(plan, q, world.k, world.v, world.fields, world.state, LAYER)
    for head in range(world.heads):
        right = reference.run(world.graph, POINT, world.row(0, head, q[0, head]))
        for key, state in right.state.items():
            close(world.state[key][head, torch.tensor(world.blocks[0][:len(state)])], state)


@pytest.mark.parametrize("name", [n for n in NAMES if Side.CACHE in OPS[n].sides])
def test_an_op_of_the_cache(name: str) -> None:
    world = KernelWorld(of_cache(name), POINT, list(LENS), whole=name in TIES)
    for head in range(world.heads):
        for block in world.blocks[0][:LENS[0] // GEOMETRY.block_size]:
            k, v = (pool[head, block].float().cpu() for pool in (world.k, world.v))
            for key, value in reference.summarise(world.graph, POINT, k, v, layer=LAYER, head=head).items():
                close(world.fields[key][head, block], value)


def test_every_op_is_tested_or_told_apart() -> None:
    assert set(NAMES) | APART | {name for name, op in OPS.items() if op.written_as is not None} == set(OPS)
    assert all(OPS[name].samples for name in NAMES)
