"""RULER's scores: the share of the references, or any of them, that a reply holds as substrings, whatever their case."""
import re
from collections.abc import Sequence

from evaluator.tasks.task import Grade

_CONTROL = re.compile(r"[\x00-\x1f]")


def matches(answers: Sequence[str], text: str, any_answer: bool) -> Grade:
    """`any_answer`: 1 for any of them. Otherwise the share of them; exact when all of them stand there."""
    said = _CONTROL.sub("\n", text.strip()).strip().lower()
    found = [answer.lower() in said for answer in answers]
    if any_answer:
        return Grade(float(any(found)), float(any(found)))
    return Grade(sum(found) / len(found), float(all(found)))
