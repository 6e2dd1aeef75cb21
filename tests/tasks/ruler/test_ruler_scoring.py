"""RULER's scores by table."""
import pytest

from evaluator.tasks.door import find_task
from evaluator.tasks.ruler.scoring import matches
from evaluator.tasks.task import Sample

ROWS = [
    (("1234567",), "It is 1234567.", False, 1.0, 1.0),
    (("1234567",), "It is 123456.", False, 0.0, 0.0),
    (("ABCDE", "FGHIJ"), "abcde and fghij", False, 1.0, 1.0),
    (("ABCDE", "FGHIJ"), "ABCDE", False, 0.5, 0.0),
    (("a b",), "a\x07b", False, 0.0, 0.0),
    (("a\nb",), "  a\x0bb\x00", False, 1.0, 1.0),
    (("1874", "in 1874"), "In 1874, they say", True, 1.0, 1.0),
    (("Felix Trewend", "Trewend"), "trewend", True, 1.0, 1.0),
    (("Felix Trewend", "Trewend"), "Felix", True, 0.0, 0.0),
    (("one", "two", "three"), "", False, 0.0, 0.0),
]


@pytest.mark.parametrize(("answers", "text", "any_answer", "score", "exact"), ROWS, ids=[repr(row[1]) for row in ROWS])
def test_scores(answers: tuple[str, ...], text: str, any_answer: bool, score: float, exact: float) -> None:
    grade = matches(answers, text, any_answer)
    assert (grade.score, grade.exact) == (score, exact)


@pytest.mark.parametrize(("task", "score"), [("qa_1", 1.0), ("qa_2", 1.0), ("cwe", 0.5), ("niah_multivalue", 0.5), ("vt", 0.5)])
def test_tasks_score_as_they_should(task: str, score: float) -> None:
    sample = Sample("ruler/0/0", "", "left, right", 8, ("left", "right"))
    assert find_task(f"ruler:{task}:4k").grade(sample, "LEFT").score == score
