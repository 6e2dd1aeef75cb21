"""Lists made on the device are the reference's: every rule, every tie, rows on chip and rows that are streamed."""
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.compiler import reference
from vortex.compiler.kernels import selection
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.workspace import Worklist, WorkShape, make_worklist
from vortex.compiler.selection import Rule

NAN, INF = float("nan"), float("inf")
GARBAGE = 0x7F7F7F7F
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOPK = Rule(op="topk")


@dataclass(frozen=True)
class Row:
    """Scores [U][n - eos] of a row, and what each rule may take of it; no scores: the row is not scored."""

    scores: Sequence[Sequence[float]]
    most: Sequence[int]


def poisoned(rows: Sequence[Row], rules: int, blocks: int, eos: int) -> Worklist:
    """One request a row; whatever is not to be read is NaN, whatever is to be written is garbage."""
    work = make_worklist(WorkShape(requests=len(rows), heads=1, blocks=blocks, listed=blocks, rules=rules, chunk=16), DEVICE)
    work.scores.fill_(NAN)
    for tensor in (work.counts, work.index, work.most):
        tensor.fill_(GARBAGE)
    for r, row in enumerate(rows):
        end = len(row.scores[0]) if row.scores else 0
        work.blocks[r], work.end[r] = end + eos, end
        for u, score in enumerate(row.scores):
            work.scores[u, r, :end], work.most[u, r] = torch.tensor(score), row.most[u]
    return work


def lists(rows: Sequence[Row], rules: Sequence[Rule], blocks: int, bos: int, eos: int) -> list[list[int] | None]:
    """Of each row, None where it was left alone; nothing is written past a list."""
    work = poisoned(rows, len(rules), blocks, eos)
    selection.launch_selection(work, rules, bos, eos)
    found: list[list[int] | None] = []
    for count, index in zip(work.counts.tolist(), work.index.tolist(), strict=True):
        kept = 0 if count == GARBAGE else count
        assert set(index[kept:]) <= {GARBAGE}
        found.append(None if count == GARBAGE else index[:count])
    return found


def right(row: Row, rules: Sequence[Rule], bos: int, eos: int) -> list[int] | None:
    if not row.scores:
        return None
    end, taken = len(row.scores[0]), set[int]()
    for rule, score, most in zip(rules, row.scores, row.most, strict=True):
        exact = torch.tensor(score, dtype=torch.float32).tolist()
        taken |= set(reference.take(rule, exact, bos, most))
    return sorted({*range(bos), *taken, *range(end, end + eos)})


def check(rows: Sequence[Row], rules: Sequence[Rule], *, blocks: int | None = None, bos: int = 1, eos: int = 1) -> None:
    longest = max((len(row.scores[0]) for row in rows if row.scores), default=0) + eos
    found = lists(rows, rules, blocks or longest, bos, eos)
    assert found == [right(row, rules, bos, eos) for row in rows]


def one(scores: Sequence[float], most: int) -> Row:
    return Row([scores], [most])


def drawn(count: int, seed: int) -> list[float]:
    values: list[float] = torch.randn(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return values


def test_topk_by_table() -> None:
    check([one(scores, most) for scores, most in [
        ([9, 1, 3, 2], 2),
        ([9, 1, 1, 1, 1], 2),                       # equals: the lower block
        ([0, 0, 5, 1, 5, 1], 3),
        ([5] * 21, 7),
        ([NAN] * 9, 4),
        ([0, NAN, -INF, 0, NAN], 2),                # NaN after -inf
        ([0, NAN, NAN, -INF, NAN], 3),
        ([0, -0.0, 0.0, -0.0], 1),                  # zeros are equal
        ([0, -0.0, 0.0, -1e-45, 1e-45], 2),         # and numbers near them are not
        ([0, INF, -INF, INF, 3e38, -3e38], 1),
        ([0, INF, -INF, INF, 3e38, -3e38], 3),
        ([0, 4, 2, 3], 0),
        ([0, 4, NAN, 3], 3),                        # as many as there are
        ([0, 4, NAN, 3], 99),
        ([7], 1),                                   # nothing but reserved ones
    ]], [TOPK])


@pytest.mark.parametrize(("bos", "eos"), [(0, 1), (1, 0), (0, 0), (3, 2), (5, 1)])
def test_reserved_blocks_are_listed_and_not_chosen(bos: int, eos: int) -> None:
    check([one(drawn(23, 1), 4), Row([], []), one(drawn(6, 2), 1)], [TOPK], bos=bos, eos=eos)


def test_rows_of_any_length_and_rows_that_are_not_scored() -> None:
    rows = [one(drawn(length, length), min(length, 1 + length % 7)) for length in (1, 2, 3, 31, 32, 33, 63, 64, 65, 70)]
    check([Row([], []), *rows, Row([], [])], [TOPK], blocks=77)


@pytest.mark.parametrize("t", [0.5, 0.7, 0.1, -0.25, 0.0, -0.0, 1e-50, -1e-50, 1e300, -1e300, 3.4028234663852886e38])
def test_threshold_compares_as_the_reference_does(t: float) -> None:
    near = [0.5, 0.7, 0.1, -0.25, 0.0, -0.0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38, INF, -INF, NAN]
    check([one([0.0, *near, *near], most) for most in (26, 9, 3, 0)], [Rule(op="threshold", at=t)])


@pytest.mark.parametrize("p", [1e-30, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_top_p_by_table(p: float) -> None:
    few = [0.0, 1.0, 2.0, 1.0, -3.0, 2.0, 0.5]
    check([one(scores, most) for scores in (few, [0.0, NAN, 1.0, NAN, 4.0], [0.0] + [NAN] * 5, [0.0] + [-INF] * 5,
                                            [0.0, INF, 1.0, INF, 2.0], [0.0, INF, 1.0, 3.0],
                                            [0.0, -INF, 1.0, -INF, 1.5], [3.0, 7.0],
                                            [0.0, -90.0, 40.0, 39.0], [0.0, 1e38, -1e38])
           for most in (6, 2, 0)], [Rule(op="top_p", at=p)])


def test_top_p_at_an_edge() -> None:
    """Of equals with shares of a binary fraction: exactly as many as reach p."""
    for p, count in ((0.25, 2), (0.5, 4), (0.5001, 5), (0.875, 7), (0.876, 8)):
        assert lists([one([9.0] + [3.0] * 8, 8)], [Rule(op="top_p", at=p)], 10, 1, 1) == [[0, *range(1, count + 1), 9]]


def test_unions_list_each_block_once() -> None:
    rules = [Rule(op="topk", k=3), Rule(op="topk"), Rule(op="threshold", at=1.5), Rule(op="top_p", at=0.4)]
    same = drawn(40, 3)
    check([Row([same, same, same, same], [3, 5, 9, 9]), Row([drawn(40, seed) for seed in range(4)], [3, 0, 2, 8]),
           Row([drawn(17, seed) for seed in range(4)], [3, 1, 16, 16]), Row([[1.0] * 9] * 4, [3, 4, 5, 6])], rules)


@pytest.mark.parametrize(("length", "most"), [(1500, 300), (5000, 29)])
def test_long_rows_on_chip(length: int, most: int) -> None:
    coarse = [round(x, 1) for x in drawn(length, 5)]
    check([one(drawn(length, 4), most), one(coarse, most)], [TOPK])


def test_a_million_tokens() -> None:
    """65,536 blocks of 16, and a short row beside: streamed and on chip by one kernel; `most` beyond 4,096."""
    coarse = torch.randn(65535, generator=torch.Generator().manual_seed(6)).mul(50).round().tolist()
    check([one(coarse, 2048), one(drawn(65535, 7), 5000), one(drawn(700, 8), 64), one([2.0] * 65535, 3)], [TOPK])


def test_long_rows_with_every_rule() -> None:
    rules = [Rule(op="threshold", at=2.5), Rule(op="topk", k=40)]
    check([Row([drawn(9000, 9), drawn(9000, 10)], [500, 40]), Row([drawn(9000, 9), drawn(9000, 10)], [20, 40])], rules)


def share_rule_holds(score: Sequence[float], taken: Sequence[int], p: float, most: int) -> bool:
    """A run of the order, best first, that ends where p is reached but for 1e-5, or at `most`."""
    order = reference.take_best(score, 1, len(score))
    ordered = torch.tensor([score[i] for i in order], dtype=torch.float64)
    sums = torch.softmax(ordered, dim=0).cumsum(dim=0)
    count = len(taken)
    reached = count == min(most, len(order)) or float(sums[count - 1]) >= p - 1e-5
    needed = count < 2 or float(sums[count - 2]) < p + 1e-5
    return sorted(order[:count]) == list(taken) and reached and needed


@pytest.mark.parametrize(("length", "p", "most"), [(5000, 0.2, 4000), (5000, 0.9, 5000), (5000, 0.9, 50), (20000, 0.5, 20000)])
def test_top_p_of_long_rows(length: int, p: float, most: int) -> None:
    score = drawn(length, 11)
    found = lists([one(score, most)], [Rule(op="top_p", at=p)], length + 1, 1, 1)[0]
    assert found is not None
    assert share_rule_holds(score, found[1:-1], p, most)


NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, 2.0, NAN, INF, -INF]))
FINITE = st.floats(-30, 30, width=32)
RULES = st.one_of(st.just(TOPK), st.builds(Rule, op=st.just("threshold"), at=st.floats(-2, 2)))


@settings(max_examples=25, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=2), st.integers(0, 3), st.integers(0, 2), st.data())
def test_lists_are_the_references(rules: list[Rule], bos: int, eos: int, data: st.DataObject) -> None:
    rows = []
    for length in data.draw(st.lists(st.integers(max(1, bos), 60), min_size=1, max_size=3)):
        scores = [data.draw(st.lists(NUMBERS, min_size=length, max_size=length)) for _ in rules]
        rows.append(Row(scores, [data.draw(st.integers(0, length)) for _ in rules]))
    check(rows, rules, blocks=64, bos=bos, eos=eos)


@settings(max_examples=20, deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(1, 60))
def test_top_p_takes_the_fewest(score: list[float], p: float, most: int) -> None:
    found = lists([one(score, most)], [Rule(op="top_p", at=p)], 64, 1, 1)[0]
    assert found is not None
    assert share_rule_holds(score, found[1:-1], p, most)


def missed(score: Sequence[float], taken: Sequence[int]) -> int:
    """How many of the best were not taken, beside as many others."""
    worst = min(sorted(score[1:], reverse=True)[:len(taken)], default=0.0)
    return sum(1 for i in taken if score[i] < worst)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(FINITE, st.sampled_from([1.0, 2.0])), min_size=2, max_size=60), st.data())
def test_an_approximate_choice_misses_no_more_than_it_may(score: list[float], data: st.DataObject) -> None:
    most = data.draw(st.integers(0, len(score) - 1))
    tolerance = data.draw(st.sampled_from([0.05, 0.2, 0.5, 1.0]))
    found = lists([one(score, most)], [Rule(op="topk", tolerance=tolerance)], 64, 1, 1)[0]
    assert found is not None
    assert len(found) == most + 2
    assert missed(score, found[1:-1]) <= math.floor(tolerance * most)


@pytest.mark.parametrize("tolerance", [0.05, 0.2, 0.35, 1.0])
def test_an_approximate_choice_where_the_lower_blocks_are_the_worse(tolerance: float) -> None:
    """There ties that are not ties cost most."""
    score, rule = [math.sqrt(x) for x in range(127)], Rule(op="topk", tolerance=tolerance)
    rows = [one(score, most) for most in range(1, 126, 4)]
    counts = [missed(score, found[1:-1]) for found in lists(rows, [rule], 128, 1, 1) if found is not None]
    assert len(counts) == len(rows)
    assert all(count <= math.floor(tolerance * row.most[0]) for row, count in zip(rows, counts, strict=True))
    assert any(counts)


def test_an_approximate_choice_ends_early() -> None:
    """Else nothing is gained: of a row where the exact choice goes on, the tolerant one takes another."""
    row = one(drawn(3000, 12), 1000)
    loose = lists([row], [Rule(op="topk", tolerance=0.5)], 3001, 1, 1)
    assert loose != [right(row, [TOPK], 1, 1)]


TAIL = '''

@triton.jit
def ending(scores, end, most, blocks, counts, index, ROWS, HEADS, N, L):
    for row in range(tl.program_id(0), ROWS, tl.num_programs(0)):
        select_row(scores, end, most, blocks, counts, index, row, ROWS, HEADS, N, L)
'''


def test_a_row_is_selected_at_the_end_of_another_kernel() -> None:
    """Two heads a request; N is a multiple of 16, so that rows are read in whole vectors past their end."""
    rows = [one(drawn(20, seed), 5) for seed in (20, 21)] + [Row([], [])] * 2 + [one(drawn(31, seed), 5) for seed in (22, 23)]
    narrow = poisoned(rows, 1, 32, 1)
    work = replace(narrow, blocks=narrow.blocks[::2].contiguous())
    text = selection.selection_text([TOPK], (32,), 1, 1, step=16) + TAIL
    module_of(text).ending[(4,)](work.scores, work.end, work.most, work.blocks, work.counts, work.index, 6, 2, 32, 32)
    for row, count, index in zip(rows, work.counts.tolist(), work.index.tolist(), strict=True):
        assert count == GARBAGE if not row.scores else index[:count] == right(row, [TOPK], 1, 1)


def test_the_forms_of_a_text() -> None:
    assert [selection.tiles_of(n) for n in (1, 256, 257, 1024, 1025, 8192, 8193, 65536)] == [
        (32,), (256,), (512,), (1024,), (1024, 2048), (1024, 8192), (1024, 8192, 0), (1024, 8192, 0)]
    assert [selection.warps_of(selection.tiles_of(n)) for n in (256, 2048, 8192, 65536)] == [1, 8, 16, 16]
