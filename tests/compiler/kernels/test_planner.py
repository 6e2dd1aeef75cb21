"""The planner's Worklist against plain Python, over budgets, rules, ragged lengths and poisoned memory."""
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.budget import budget, num_blocks
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.planner import Planner, listed, parts_of
from vortex.compiler.kernels.workspace import Worklist, WorkShape, make_inputs, make_worklist
from vortex.compiler.selection import Rule, fits
from vortex.config import OperatingPoint
from vortex.errors import BudgetError

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
POISON = 0x7F7F7F7F
TOPK, TOP_P = Rule(op="topk", score=0), Rule(op="top_p", score=1, at=0.9)
POLICY = ("int most = cached_block_len * 0.1f; if (most > 9 && topk_ratio < 0.5f) return 9 + (most - 9) / 4; "
          "return max(most, topk_val);")
RULES = [(TOPK,), (TOPK, TOP_P), (Rule(op="topk", score=0, k=3),), (TOPK, Rule(op="topk", score=1, k=7)),
         (Rule(op="topk", score=0, k=0), Rule(op="threshold", score=1, at=0.5)), (Rule(op="everything"),),
         (Rule(op="topk", score=0, k=2), Rule(op="topk", score=1, k=5), Rule(op="topk", score=2, k=1))]
POINTS = [OperatingPoint(block_size=4, topk_val=2, topk_ratio=0.1),
          OperatingPoint(block_size=1, topk_val=0, topk_ratio=0.3, block_reserved_bos=0, block_reserved_eos=1),
          OperatingPoint(block_size=4, topk_val=1, topk_ratio=0.0, topk_layers=(5, (1, 7, 0, 2)),
                         ratio_layers=((0.0, 0.5, 0.25, 1.0),)),
          OperatingPoint(block_size=2, topk_val=4, block_reserved_bos=3, block_reserved_eos=2, schedule_policy=POLICY),
          OperatingPoint(block_size=4, topk_val=2**31, topk_ratio=0.1)]


def planned(planner: Planner, lens: Sequence[int]) -> Worklist:
    inputs, worklist = make_inputs(planner.shape, DEVICE), make_worklist(planner.shape, DEVICE)
    for name in ("blocks", "end", "most", "starts", "items", "counts", "index"):
        getattr(worklist, name).fill_(POISON)
    inputs.lens.copy_(torch.tensor(lens, dtype=torch.int32))
    planner.launch(inputs, worklist)
    return worklist


def planner_of(rules: Sequence[Rule], point: OperatingPoint, lens: Sequence[int], heads: int, chunk: int = 3, layer: int = 1,
               spare: int = 5) -> Planner:
    blocks = max(num_blocks(max(lens), point.block_size) + spare, 1)
    shape = WorkShape(requests=len(lens), heads=heads, blocks=blocks, rules=len(rules), chunk=chunk,
                      listed=listed(point, rules, blocks, layer, heads))
    return Planner(rules, point, shape, layer, DEVICE)


def check(planner: Planner, rules: Sequence[Rule], lens: Sequence[int]) -> None:
    found, point, shape = planned(planner, lens), planner.point, planner.shape
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    items: list[tuple[int, int]] = []
    assert found.blocks.tolist() == [num_blocks(length, point.block_size) for length in lens]
    for row in range(shape.rows):
        n = num_blocks(lens[row // shape.heads], point.block_size)
        allowed = budget(n, point, planner.layer, row % shape.heads)
        whole = n == 0 or fits(tuple(rules), n, allowed, bos + eos)
        end = 0 if whole else n - eos
        assert int(found.starts[row]) == len(items)
        items += [(row, first) for first in range(0, end, shape.chunk)]
        assert int(found.end[row]) == end
        assert int(found.counts[row]) == (n if whole else POISON)
        right = [*range(n if whole else 0)]
        assert found.index[row].tolist() == right + [POISON] * (shape.listed - len(right))
        if rules[0].op != "everything":
            assert found.most[:, row].tolist() == [0 if whole else rule.most(allowed, bos + eos) for rule in rules]
    assert int(found.starts[-1]) == len(items)
    assert found.items[:len(items)].tolist() == [[*item] for item in items]
    assert (found.items[len(items):] == POISON).all()


def name_of(rules: Sequence[Rule]) -> str:
    return "+".join(f"{rule.op}{'' if rule.k is None else rule.k}" for rule in rules)


@pytest.mark.parametrize("rules", RULES, ids=name_of)
@pytest.mark.parametrize("point", POINTS, ids=["default", "no-bos", "tables", "policy", "huge"])
def test_a_worklist_is_what_plain_python_says(rules: tuple[Rule, ...], point: OperatingPoint) -> None:
    lens = [1, 203, 0, 36, 4]
    check(planner_of(rules, point, lens, heads=3), rules, lens)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(RULES), st.sampled_from(POINTS), st.lists(st.integers(0, 300), min_size=1, max_size=5),
       st.integers(1, 4), st.integers(1, 40), st.integers(0, 3))
def test_any_worklist_is_what_plain_python_says(rules: tuple[Rule, ...], point: OperatingPoint, lens: list[int], heads: int,
                                                chunk: int, layer: int) -> None:
    check(planner_of(rules, point, lens, heads, chunk, layer), rules, lens)


def test_more_rows_than_a_tile() -> None:
    lens = [7 * place % 41 for place in range(103)]
    planner = planner_of((TOPK,), POINTS[0], lens, heads=10)
    assert planner.shape.rows > int(planner.constants["TILE"]) and planner.constants["GROUP"] == 16
    check(planner, (TOPK,), lens)


def test_a_million_tokens_plan() -> None:
    point = OperatingPoint(block_size=16, topk_val=29, topk_ratio=0.0625)
    lens = [2**20, 500]
    planner = planner_of((TOPK,), point, lens, heads=1, chunk=64, spare=0)
    assert planner.shape.listed == 4096 and planner.grid[1] > 1
    check(planner, (TOPK,), lens)


def test_a_row_of_65536_blocks_that_fits_is_listed_whole() -> None:
    rules = (Rule(op="everything"),)
    check(planner_of(rules, POINTS[1], [65_536], heads=1, spare=0), rules, [65_536])


def test_a_length_past_the_tables_stays_within_the_lists() -> None:
    planner = planner_of((TOPK,), POINTS[0], [40], heads=1, spare=0)
    for length, n in ((10**9, 10), (2**31 - 1, 10), (-5, 0)):
        assert planned(planner, [length]).blocks.tolist() == [n]


@pytest.mark.parametrize("rules", RULES, ids=name_of)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("blocks", [1, 4, 70])
def test_the_longest_list_is_known_beforehand(rules: tuple[Rule, ...], point: OperatingPoint, blocks: int) -> None:
    reserved, right = point.block_reserved_bos + point.block_reserved_eos, 0
    for n in range(1, blocks + 1):
        for head in range(3):
            allowed = budget(n, point, 2, head)
            most = sum(rule.most(allowed, reserved) for rule in rules)
            right = max(right, n if fits(rules, n, allowed, reserved) else min(n, most + reserved))
    assert listed(point, rules, blocks, 2, 3) == right


def test_the_longest_list_is_bounded_where_the_policy_is_undefined_or_too_large() -> None:
    assert listed(OperatingPoint(schedule_policy="20 / (cached_block_len - 9)"), (TOPK,), 40, 0, 1) == 10
    assert listed(OperatingPoint(topk_val=30, max_topk_val=20), (TOPK,), 65_536, 0, 1) == 8192


def test_layers_of_one_budget_share_a_part() -> None:
    parts = parts_of(OperatingPoint(topk_layers=(5, (1, 7), 5), ratio_layers=(0.0, 0.0, 0.0, 0.5)), range(6))
    assert parts[0] == parts[2] and parts[4] == parts[5] and len(set(parts.values())) == 3
    assert len(set(parts_of(OperatingPoint(), range(9)).values())) == 1


def test_lengths_with_no_budget_are_refused_on_the_host() -> None:
    undefined = planner_of((TOPK,), OperatingPoint(schedule_policy="20 / (cached_block_len - 9)"), [500], heads=2)
    undefined.check([8, 10])
    with pytest.raises(BudgetError, match="a division by zero"):
        undefined.check([8, 9])
    planned(undefined, [9 * 16])                                        # and do no harm on a device
    with pytest.raises(BudgetError, match="max_topk_val is 20"):
        planner_of((TOPK,), OperatingPoint(topk_val=30, max_topk_val=20), [900], heads=1).check([3, 50])
    with pytest.raises(BudgetError, match="there is a head 2"):
        planner_of((TOPK,), OperatingPoint(topk_layers=((1, 2),)), [900], heads=3)


@pytest.mark.parametrize("point", POINTS[:1] + POINTS[3:4])
def test_the_kernel_is_told_as_it_is_launched(point: OperatingPoint) -> None:
    (kernel,) = planner_of((TOPK,), point, [77], heads=2).kernels()
    entry = getattr(module_of(kernel.source), kernel.entry)
    assert list(entry.arg_names) == [*kernel.signature, *kernel.constants]
    assert set(kernel.aligned) <= set(kernel.signature) and not kernel.contraction
