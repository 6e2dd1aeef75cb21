"""Every kind of Selection, at budgets by layer and head, over steps with renewal: the Program equals the reference."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.compiler.world import LAYER, World, written
from vortex.compiler import reference
from vortex.compiler.front import load
from vortex.compiler.kept import carry, joined, keep, rows
from vortex.compiler.program import Lists
from vortex.compiler.selection import Rule, rules
from vortex.compiler.take import chosen_of
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, EngineError
from vortex.ir import Geometry, Graph

GEOMETRY = Geometry(block_size=16, head_dim=32, group=2)
POINT = OperatingPoint(topk_val=2, topk_ratio=0.25)
MIXED = [3, 81, 97, 200]
NAN, INF = float("nan"), float("inf")
SCORE = "s = q.mean(dim=1) @ cache['c'].T\n"
SELECTIONS = [
    "ops.topk(s, k=3)", "ops.topk(s, k=1)", "ops.topk(s, tolerance=0.5)", "ops.top_p(s, 0.5)", "ops.top_p(s * 0.01, 0.9)",
    "ops.top_p(s, 1.0)", "ops.top_p(s.log(), 0.7)", "ops.threshold(s, 0.1)", "ops.threshold(s.log(), -1.0)",
    "ops.threshold(s, 100.0)", "ops.topk(s, k=2) | ops.topk(-s, k=2)", "ops.topk(s) | ops.topk(ops.position(), k=4)",
    "ops.top_p(s, 0.3) | ops.threshold(-s, 0.5) | ops.topk(ops.random(), k=1)", "ops.topk(s) | ops.everything()",
]
TABLES: list[dict[str, object]] = [
    {}, {"topk_layers": (9, 9, 9, 1)}, {"topk_layers": ((9, 9), (1, 6))}, {"ratio_layers": (0.0, (0.5, 0.1))},
    {"topk_layers": ((1, 4),), "ratio_layers": (0.5, 0.0)}, {"topk_layers": ((0, 40),), "topk_ratio": 0.0},
    {"schedule_policy": "topk_val + block_reserved_bos + block_reserved_eos + cached_block_len / 8"},
]


@pytest.mark.parametrize(("selection", "changes"), [
    *((selection, {}) for selection in SELECTIONS),
    *((selection, changes) for selection in (SELECTIONS[0], SELECTIONS[3], SELECTIONS[11], "ops.topk(s)") for changes in TABLES),
], ids=str)
def test_selection_equals_the_reference(selection: str, changes: dict[str, object]) -> None:
    graph = written(SCORE + f"return {selection}", GEOMETRY)
    for lens, scattered in ((MIXED, True), ([200, 200], False)):
        World(graph, POINT.with_(**changes), list(lens), scattered=scattered, page=2).check()


SCORES = [0.0, 3.0, 1.0, NAN, 3.0, -1.0, INF, -INF]


@pytest.mark.parametrize(("rule", "most", "taken"), [
    (Rule(op="topk"), 3, [6, 1, 4]), (Rule(op="topk"), 7, [6, 1, 4, 2, 5, 7, 3]), (Rule(op="topk"), 0, []),
    (Rule(op="threshold", at=1.0), 9, [6, 1, 4, 2]), (Rule(op="threshold", at=1.0), 2, [6, 1]),
    (Rule(op="threshold", at=9e9), 9, [6]), (Rule(op="top_p", at=1.0), 9, [6, 1, 4, 2, 5, 7, 3]),
    (Rule(op="top_p", at=0.1), 2, [6, 1]),                # an infinite score leaves no shares: the cap decides
])
def test_a_rule_takes_from_the_middle_by_table(rule: Rule, most: int, taken: list[int]) -> None:
    assert reference.take(rule, SCORES, 1, most) == taken
    batched = chosen_of(rule, torch.tensor([SCORES[1:]]), min(most, len(SCORES) - 1))
    assert (batched.nonzero()[:, 1] + 1).tolist() == sorted(taken)


@pytest.mark.parametrize(("score", "p", "count"), [
    ([0.0, 0.0, 0.0, 0.0], 0.5, 2), ([0.0, 0.0, 0.0, 0.0], 0.51, 3), ([5.0, 0.0, 0.0], 0.9, 1), ([NAN, 0.0, NAN, 0.0], 0.9, 2),
    ([NAN, NAN], 0.5, 2), ([-INF, -INF, 1.0], 0.999, 1), ([0.0], 1e-9, 1),
])
def test_top_p_takes_the_fewest_that_reach_p(score: list[float], p: float, count: int) -> None:
    rule = Rule(op="top_p", at=p)
    assert len(reference.take(rule, score, 0, len(score))) == count
    assert int(chosen_of(rule, torch.tensor([score]), len(score)).sum()) == count


@pytest.mark.parametrize(("selection", "length", "dense"), [
    ("ops.topk(s)", 5 * 16, True), ("ops.topk(s)", 5 * 16 + 1, False), ("ops.topk(s, k=4)", 7 * 16, True),
    ("ops.topk(s, k=4)", 7 * 16 + 1, False), ("ops.topk(s, k=4) | ops.topk(s, k=1)", 7 * 16, True),
    ("ops.threshold(s, 9.0)", 5 * 16, True), ("ops.topk(s, k=1) | ops.everything()", 999, True),
])
def test_a_row_is_dense_when_it_fits_any_leaf(selection: str, length: int, dense: bool) -> None:
    point = OperatingPoint(topk_val=2, topk_ratio=0.0)
    world = World(written(SCORE + f"return {selection}", GEOMETRY), point, [length])
    assert world.program.fits(world.check(), LAYER) is dense


def test_a_head_that_fits_is_dense_and_saves_nothing_beside_one_that_selects() -> None:
    body = ("cache['n'] = cache.state('n', first=0.0) + 1.0 + 0.0 * (q.mean(dim=1) @ cache['c'].T)\n"
            "return ops.topk(-ops.position())")
    for lens in ([200, 200], [200, 150]):
        world = World(written(body, GEOMETRY), POINT.with_(topk_layers=((2, 40),), topk_ratio=0.0), lens)
        for _ in range(3):
            world.check()
            world.grow()
        first = torch.tensor(world.blocks[0][:10])
        assert world.state["n"][0, first].eq(3).all() and world.state["n"][1, first].eq(0).all()


def test_state_that_begins_at_a_summary_is_its_value_when_a_block_completes() -> None:
    body = ("low = cache.state('low', first='c')\ncache['low'] = low * 0.5 + q.mean(dim=1) * 0.1\n"
            "return ops.topk(q.mean(dim=1) @ low.T + q.mean(dim=1) @ cache['c'].T)")
    for dtype in ("float32", "bfloat16"):
        world = World(written(body, GEOMETRY), POINT.with_(dtype=dtype), [110, 200, 207], scattered=True)
        for _ in range(12):
            world.check()
            world.grow()


@pytest.mark.parametrize("selection", ["ops.topk(s)", "ops.top_p(s, 0.6)", "ops.topk(s, k=2) | ops.topk(-s, k=2)"])
@pytest.mark.parametrize("changes", [{}, {"topk_layers": ((2, 40),)}, {"block_reserved_eos": 1, "block_reserved_bos": 0}],
                         ids=str)
def test_between_renewals_a_row_attends_what_it_did_and_what_is_newer(selection: str, changes: dict[str, object]) -> None:
    body = SCORE + f"cache['n'] = cache.state('n', first=0.0) + s\nreturn {selection}"
    world = World(written(body, GEOMETRY), POINT.with_(renew_every=5, **changes), [3, 79, 94, 200], scattered=True)
    for _ in range(12):
        world.check()
        world.grow()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_kept_of_requests_can_be_taken_apart_and_joined(data: st.DataObject) -> None:
    """Requests that come and go, each at its own phase."""
    graph = written(SCORE + "return ops.top_p(s, 0.5)", GEOMETRY)
    lens = data.draw(st.lists(st.integers(1, 300), min_size=2, max_size=4))
    world = World(graph, POINT, lens, seed=data.draw(st.integers(0, 9)))
    plan = world.plan()
    lists = world.program.select(plan, world.query(), world.k, world.v, world.fields, world.state, LAYER)
    order = data.draw(st.permutations(range(len(lens))))
    cut = data.draw(st.integers(1, len(lens) - 1))
    whole = keep(plan, lists, 2)
    parts = [rows(whole, order[:cut]), rows(whole, order[cut:])]
    assert _listed(carry(plan, whole)) == _listed(lists)
    back = rows(joined(parts), [order.index(row) for row in range(len(lens))])
    assert _listed(carry(plan, back)) == _listed(lists)


def test_rows_that_were_all_dense_join_rows_that_were_not() -> None:
    world = World(written(SCORE + "return ops.topk(s)", GEOMETRY), POINT, [333, 40])
    plan = world.plan()
    lists = world.program.select(plan, world.query(), world.k, world.v, world.fields, world.state, LAYER)
    kept = keep(plan, lists, 2)
    dense = rows(keep(plan, None, 2), [1])
    found = carry(plan, joined([rows(kept, [0]), dense]))
    assert found is not None and _listed(found) == _listed(lists)
    assert carry(plan, joined([dense, dense])) is None


def _listed(lists: Lists | None) -> list[list[list[int]]]:
    assert lists is not None
    pairs = zip(lists.index.tolist(), lists.counts.tolist(), strict=True)
    return [[own[:count] for own, count in zip(index, counts, strict=True)] for index, counts in pairs]


LAYERED = torch.randn(5, 2, 32, 4, generator=torch.Generator().manual_seed(0))


def with_parameter(values: torch.Tensor, folder: Path) -> Graph:
    """Keys turned by a learned basis, queries too."""
    save_file({"basis": values.numpy()}, folder / "basis.safetensors")
    text = ("from vortex import ops, register, vFlow\n\n\n@register('flow')\nclass Flow(vFlow):\n"
            "    def forward_cache(self, cache):\n"
            "        cache['low'] = cache['k'] @ ops.param('basis.safetensors', 'basis')\n\n"
            "    def forward_indexer(self, q, cache):\n"
            "        low = q @ ops.param('basis.safetensors', 'basis')\n"
            "        return ops.topk((low @ cache['low'].T).max(dim=2).max(dim=1))\n")
    (folder / "flow.py").write_text(text)
    return load(text, str(folder / "flow.py"), GEOMETRY)


@pytest.mark.parametrize("values", [LAYERED[0, 0], LAYERED[:, 0], LAYERED], ids=["shared", "by layer", "by head"])
def test_parameters_are_those_of_the_layer_and_head(values: torch.Tensor, tmp_path: Path) -> None:
    for lens, scattered in (([200, 200], False), (MIXED, True)):
        World(with_parameter(values, tmp_path), POINT, list(lens), scattered=scattered).check()


@pytest.mark.parametrize(("values", "heads", "said"), [
    (LAYERED[:3], 2, "layers 0 to 2, and there is a layer 3"), (LAYERED, 3, "values for 2 kv heads, and the model has 3"),
])
def test_a_parameter_file_that_does_not_fit_is_refused(values: torch.Tensor, heads: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=said):
        World(with_parameter(values, tmp_path), POINT, [200], heads=heads)


def test_a_graph_without_the_contents_of_its_parameters_is_refused(tmp_path: Path) -> None:
    graph = with_parameter(LAYERED, tmp_path)
    bare = replace(graph, parameters=tuple(replace(p, data=b"") for p in graph.parameters))
    with pytest.raises(EngineError, match="does not hold the contents of key 'basis'"):
        World(bare, POINT, [200])


def test_budgets_beyond_the_largest_are_refused() -> None:
    world = World(written(SCORE + "return ops.topk(s)", GEOMETRY), POINT.with_(max_topk_val=4), [333])
    with pytest.raises(BudgetError):
        World(written(SCORE + "return ops.topk(s)", GEOMETRY), POINT.with_(max_topk_val=1), [333]).check()
    world.check()


def modes_of(blocks: Sequence[reference.Outcome]) -> list[tuple[int, ...]]:
    return [outcome.blocks for outcome in blocks]


def test_the_reference_steps_through_layers_by_their_modes() -> None:
    graph = written(SCORE + "return ops.topk(s)", GEOMETRY)
    point = POINT.with_(layer_modes=("dense", "select", "reuse", "select", "reuse"), renew_every=2, topk_ratio=0.0)
    generator = torch.Generator().manual_seed(1)
    k, v = torch.randn(2, 6, 210, 32, generator=generator)
    last: tuple[reference.Outcome, ...] = ()
    for step in range(4):
        stack = [reference.Row(q=torch.randn(2, 32, generator=generator), k=k[layer, :200 + step], v=v[layer, :200 + step],
                               layer=layer, step=step) for layer in range(6)]
        found = reference.step(graph, point, stack, last)
        taken = modes_of(found)
        assert taken[0] == tuple(range(13)) and taken[1] == taken[2] != taken[3] == taken[4] == taken[5]
        assert len(taken[1]) == 5
        if step % 2:
            assert taken == modes_of(last)
        last = found
    torch.testing.assert_close(last[2].output, reference.attend(stack[2], last[1].blocks, 16))


def test_rules_are_the_leaves_from_left_to_right() -> None:
    graph = written(SCORE + "return (ops.topk(s, k=3) | ops.top_p(s, 0.5)) | ops.threshold(s, 0.25)", GEOMETRY)
    assert [(r.op, r.k, r.at) for r in sorted(rules(graph), key=lambda r: r.op)] == [
        ("threshold", None, 0.25), ("top_p", None, 0.5), ("topk", 3, 0.0)]
