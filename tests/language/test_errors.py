"""Typical mistakes: what is wrong, where, what is allowed and what to change, word for word; and a fix mends."""
import json

import pytest

from tests.language.golden_texts import ACCEPT, Golden, accept, goldens, refusal
from vortex.errors import Fix, FlowError, Where

if ACCEPT:
    accept()
GOLDENS = goldens()
MENDED = [golden for golden in GOLDENS if "\n  + " in golden.report]


def name(golden: Golden) -> str:
    return f"{golden.file}: {golden.title}"


@pytest.mark.parametrize("golden", GOLDENS, ids=name)
def test_what_is_wrong_is_said_in_these_words(golden: Golden) -> None:
    error = refusal(golden.text)
    assert error is not None
    assert error.report() == golden.report


@pytest.mark.parametrize("golden", GOLDENS, ids=name)
def test_a_refusal_points_into_the_text_and_says_what_is_allowed(golden: Golden) -> None:
    error = refusal(golden.text)
    assert error is not None
    where = error.where
    assert (error.hint or error.fix) and error.message
    if where.line:
        line = golden.text.splitlines()[where.line - 1]
        assert where.text == line.strip()
        assert where.expression == where.text[where.column - 1:][:len(where.expression)]


@pytest.mark.parametrize("golden", MENDED, ids=name)
def test_fixes_mend_the_flow(golden: Golden) -> None:
    """Most do at once; where a fix uncovers a second mistake, that one comes with a fix of its own."""
    text, again = golden.text, refusal(golden.text)
    for _ in range(3):
        assert again is not None
        assert again.fix is not None, f"{text}\n{again.report()}"
        text = again.fix.applied(text, again.where.line)
        again = refusal(text)
        if again is None:
            return
    raise AssertionError(f"{text}\n{again.report() if again else ''}")


def test_most_mistakes_come_with_the_edit_that_mends_them() -> None:
    assert len(MENDED) >= len(GOLDENS) / 2, f"{len(MENDED)} of {len(GOLDENS)}"


@pytest.mark.parametrize("golden", MENDED[:1], ids=name)
def test_json_carries_the_fix(golden: Golden) -> None:
    error = refusal(golden.text)
    assert error is not None
    assert error.fix is not None
    told = json.loads(json.dumps(error.to_json()))
    assert told["fix"] == {"line": error.where.line, "old": error.fix.old, "new": error.fix.new}
    assert json.loads(json.dumps(FlowError("x").to_json()))["fix"] is None


def test_a_fix_that_does_not_stand_once_on_its_line_is_not_applied() -> None:
    with pytest.raises(ValueError, match="does not stand once on line 1"):
        Fix("a", "b").applied("a a", 1)
    with pytest.raises(ValueError, match="does not stand once on line 7"):
        Fix("a", "b", line=7).applied("a", 1)
    assert Fix("b", "c", line=2).applied("b\nb\n", 1) == "b\nc\n"


def test_a_fix_on_another_line_says_which() -> None:
    error = FlowError("wrong", where=Where("f.py", 9, "x = 1"), fix=Fix("a", "b", line=3))
    assert error.report() == "f.py:9  FlowError\n    x = 1\n  wrong\n  - line 3: a\n  + line 3: b"
