"""What a graded answer is worth, task by task."""
import pytest

from evaluator.tasks.chain import share_before_mistake
from evaluator.tasks.registry import TASKS
from evaluator.tasks.task import Sample

LINE_1, LINE_2, END = "x3 alban 4 y3 beko 9 c3 3 ;", "x4 c3 3 y4 alban 4 c4 7 ;", "x5 answer c4 7 ;"
RUN = f"{LINE_1} {LINE_2} {END}"
LIST = "alban 1 and alban 2 and alban 3 and alban 4 ;"

GRADES = [
    ("single", "alban 7 ;", "alban 7 ;", 1, 1),
    ("single", "alban 7 ;", "alban 8 ;", 0, 0),
    ("single", "alban 7 ;", "", 0, 0),
    ("multikey", "alban 7 ;", "alban 7 ; <eos> <pad>", 1, 1),
    ("multiquery", "alban 7 , beko 8 ;", "alban 7 , beko 9 ;", 1 / 2, 0),
    ("multiquery", "alban 7 , beko 8 ;", "beko 8 , alban 7 ;", 0, 0),
    ("multiquery", "alban 7 , beko 8 ;", "alban 7", 1 / 2, 0),
    ("multivalue", LIST, "alban 4 and alban 3 and alban 2 and alban 1 ;", 1, 1),
    ("multivalue", LIST, "alban 1 and alban 2 and alban 3 and alban 3 ;", 3 / 4, 0),
    ("multivalue", LIST, "alban 1 and alban 2 and alban 3 and alban 99 ;", 3 / 4, 0),
    ("multivalue", LIST, "alban 9 and alban 9 and alban 9 and alban 9 ; alban 1", 0, 0),
    ("tracking", "alban beko coda 57 ;", "alban beko coda 57 ;", 1, 1),
    ("tracking", "alban beko coda 57 ;", "alban beko daby 57 ;", 2 / 3, 0),
    ("tracking", "alban beko coda 57 ;", "nowyn beko coda 57 ;", 1, 1),
    ("chain", RUN, RUN, 1, 1),
    ("chain", RUN, f"{LINE_1} x4 c3 3 y4 alban 5 c4 8 ; x5 answer c4 8 ;", 1 / 3, 0),
    ("chain", RUN, f"x3 alban 5 y3 beko 9 c3 3 ; {LINE_2} {END}", 0, 1),
    ("chain", RUN, f"{LINE_1} {LINE_2}", 2 / 3, 0),
    ("chain", RUN, f"{LINE_1} {END}", 1 / 3, 0),
    ("frequent", "zib kyrt vum ;", "zib vum kyrt ;", 1 / 3, 0),
    ("frequent", "zib kyrt vum ;", "zib kyrt vum ;", 1, 1),
]


@pytest.mark.parametrize(("task", "answer", "said", "score", "exact"), GRADES)
def test_a_grade_is_the_share_of_what_was_asked(task: str, answer: str, said: str, score: float, exact: float) -> None:
    sample = Sample("a", "", answer, len(answer.split()))
    grade = TASKS[task].grade(sample, said)
    assert grade.score == pytest.approx(score)
    assert grade.exact == exact


def test_words_said_after_the_end_of_text_do_not_count() -> None:
    assert TASKS["single"].grade(Sample("a", "", "alban 7 ;", 3), "alban <eos> 7").score == 0


def test_the_share_before_the_mistake_counts_words_not_lines() -> None:
    wanted = tuple(RUN.split())
    assert share_before_mistake(wanted, wanted[:10]) == pytest.approx(10 / 23)
    assert share_before_mistake(wanted, wanted) == 1
