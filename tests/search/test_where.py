"""Questions about standings: what they mean, and how a bad one is refused."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.frontier import Frontier, frontier
from search.where import QueryError, order, where
from tests.search.made import dense, entry

FIELD = frontier([dense(1, 0.95), entry(2, 0.9, 2.0, round=1, share=0.125, name="quest"),
                  entry(3, 0.5, 4.0, round=2, share=0.0625), entry(4, 0.95, 1.2, round=3, share=0.5)])


def ids(text: str, field: Frontier = FIELD) -> list[int]:
    return sorted(one.candidate.id for one in field.standings if where(text, field)(one))


@pytest.mark.parametrize(("text", "expected"), [
    ("accuracy >= dense - 0.02", [1, 4]),
    ("speed > 1.9 and share <= 0.125", [2, 3]),
    ("speed > 3 or round == 1", [2, 3]),
    ("not (speed > 3)", [1, 2, 4]),
    ("1.5 < speed < 3", [2]),
    ("tier == 'control'", [1]),
    ('name == "quest" or place == "control"', [1, 2]),
    ("author != 'evolve'", []),
    ("accuracy * speed > 1.5", [2, 3]),
    ("-accuracy < -0.92", [1, 4]),
    ("bytes / 1000 <= 1 / 8", [1, 2, 3]),
    ("accuracy / 0 > 1", []),
    ("id >= 3 and id != 4", [3]),
    ("1 < 2", [1, 2, 3, 4]),
    ("  speed>3.5  ", [3]),
])
def test_what_a_question_picks(text: str, expected: list[int]) -> None:
    assert ids(text) == expected


@pytest.mark.parametrize(("text", "match"), [
    ("", "cannot read"), ("accuracy >=", "cannot read"), ("a = 1", "cannot read"), ("accuracy\x00", "cannot read"),
    ("accuracy", "is a number, not a comparison"), ("tier", "is a text, not a comparison"),
    ("acuracy > 1", "'acuracy' is not a name known here"),
    ("tier > 2", "compares a text with a number"),
    ("accuracy > 1 > 'x'", "compares a number with a number with a text"),
    ("(speed > 1) == (speed > 2)", "compares a truth with a truth"),
    ("accuracy and speed > 2", "'accuracy' is a number, where a truth is needed"),
    ("not 'x'", "'x'\" is a text|is a text, where a truth is needed"),
    ("speed + tier > 2", "'tier' is a text, where a number is needed"),
    ("speed ** 2 > 2", "operator other than"), ("speed % 2 > 2", "operator other than"),
    ("speed in (1, 2)", "not part of this small language"), ("speed is 1", "comparison other than"),
    ("tier in 'control'", "comparison other than"),
    ("True", "not part of this small language"), ("True == 1", "not part"), ("+speed > 1", "not part"),
    ("speed.real > 1", "not part"), ("__import__('os') == 1", "not part"), ("[x for x in y] == 1", "not part"),
    ("(lambda: 1)() > 0", "not part"), ("f'{speed}' == 'x'", "not part"), ("b'x' == 'x'", "not part"),
    ("-" * 400 + "1 > 0", "longer than 300"), ("(" * 290 + "1", "cannot read"),
])
def test_a_bad_question_is_refused_with_what_is_wrong(text: str, match: str) -> None:
    with pytest.raises(QueryError, match=match) as refusal:
        where(text, FIELD)
    assert refusal.value.hint


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(QueryError) as refusal:
        where("acuracy > 1", FIELD)
    assert "Did you mean 'accuracy'?" in refusal.value.hint
    assert "acuracy > 1" in refusal.value.report()


def test_comparing_with_a_dense_control_that_was_not_measured_is_refused() -> None:
    without = frontier([entry(2)])
    with pytest.raises(QueryError, match="dense control"):
        where("accuracy >= dense", without)
    assert ids("accuracy > 0", without) == [2]


@given(st.text("accuryspedt<>=!-+*/.0129()'\" andor", max_size=40))
def test_any_text_is_answered_or_refused(text: str) -> None:
    try:
        answer = where(text, FIELD)
    except QueryError:
        return
    assert all(answer(one) in (True, False) for one in FIELD.standings)


@pytest.mark.parametrize(("key", "expected"), [
    ("accuracy", [3, 2, 1, 4]), ("-accuracy", [1, 4, 2, 3]), ("-speed", [3, 2, 4, 1]), ("round", [1, 2, 3, 4]),
    ("name", [1, 3, 4, 2]), ("-id", [4, 3, 2, 1]),
])
def test_sorting_keeps_equals_in_the_order_of_their_ids(key: str, expected: list[int]) -> None:
    assert [one.candidate.id for one in order(key)(FIELD.standings)] == expected


@pytest.mark.parametrize("key", ["quality", "dense", "", "--speed"])
def test_an_unknown_sort_key_is_refused(key: str) -> None:
    with pytest.raises(QueryError, match="cannot sort by"):
        order(key)
