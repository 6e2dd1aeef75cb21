"""Whether a step is dense follows from its lengths and the table alone."""
import pytest

from vortex.serving.sglang.dense_rule import NEVER, DenseRule, fixed_rule

MEASURED = DenseRule(below={1: None, 4: 2048, 16: 1024})


@pytest.mark.parametrize(("rule", "lens", "dense"), [
    (NEVER, [1], False),
    (DenseRule(), [1], False),
    (fixed_rule(0), [1], False),
    (fixed_rule(100), [99], True),
    (fixed_rule(100), [100], False),
    (fixed_rule(100), [5] * 40, True),                                    # for every batch size
    (fixed_rule(100), [5, 100, 7], False),                                # the longest tells
    (MEASURED, [10**6], True),                                            # alone, dense whatever its length
    (MEASURED, [2047, 3], True),
    (MEASURED, [2048, 3], False),
    (MEASURED, [2047] * 4, True),
    (MEASURED, [1024] * 5, False),
    (MEASURED, [1023] * 16, True),
    (MEASURED, [1023] * 17, True),                                        # beyond the table its last entry holds
    (MEASURED, [1024] * 17, False),
])
def test_a_step_is_dense_where_its_longest_request_is_shorter_than_the_entry_of_its_size(
        rule: DenseRule, lens: list[int], dense: bool) -> None:
    assert rule.dense(lens) is dense


def test_only_never_sends_rows_that_fit_through_lists() -> None:
    assert NEVER.lists_whole_rows and not (DenseRule().lists_whole_rows or fixed_rule(9).lists_whole_rows)
