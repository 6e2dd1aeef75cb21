"""How an answer is scored, by name: `wanted` are the answers of a problem, `said` the text after any thinking."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from evaluator.nearest import nearest
from evaluator.tasks import answers, judge
from evaluator.tasks.task import Grade
from vortex.errors import CampaignError

Scorer: TypeAlias = Callable[[Sequence[str], str], Grade]
DEFAULT = "exact"


def _words(text: str) -> str:
    return " ".join(text.split())


def exact(wanted: Sequence[str], said: str) -> Grade:
    """The whole answer is one of those wanted, but for spaces."""
    return _all_or_nothing(_words(said) in map(_words, wanted))


def contains_all(wanted: Sequence[str], said: str) -> Grade:
    """The share of the wanted texts that stand in the answer; upper and lower case are one."""
    folded = said.casefold()
    share = sum(one.casefold() in folded for one in wanted) / len(wanted)
    return Grade(share, float(share == 1))


def contains_any(wanted: Sequence[str], said: str) -> Grade:
    """One of the wanted texts stands in the answer."""
    folded = said.casefold()
    return _all_or_nothing(any(one.casefold() in folded for one in wanted))


def number(wanted: Sequence[str], said: str) -> Grade:
    """The number in the last box, or without one the last number, equals one wanted (see answers.number)."""
    found = answers.number(said)
    return _all_or_nothing(found is not None and found in [answers.whole_number(one) for one in wanted], number=found is not None)


def integer(wanted: Sequence[str], said: str) -> Grade:
    """The whole number in the last box equals the one wanted; where math-verify thinks otherwise, that is noted."""
    box = answers.last_box(said)
    if box is None:
        return _all_or_nothing(False, box=False)
    right = answers.integer(box) in [answers.integer(one) for one in wanted]
    doubted = not box.isdecimal() and _opinion(wanted, box) is (not right)
    return _all_or_nothing(right, box=True, **({"judge": not right} if doubted else {}))


def maths(wanted: Sequence[str], said: str) -> Grade:
    """What stands in the last box equals one wanted, as math-verify reads both."""
    box = answers.last_box(said)
    if box is None:
        return _all_or_nothing(False, box=False)
    opinion = True if any(_same_text(one, box) for one in wanted) else _opinion(wanted, box)
    return _all_or_nothing(opinion is True, box=True, **({} if opinion is not None else {"judge": "not asked"}))


def _opinion(wanted: Sequence[str], box: str) -> bool | None:
    """Of math-verify; None where it had to leave one of the answers unread and found no other the same."""
    opinions = [judge.same(one, box) for one in wanted]
    return True if True in opinions else None if None in opinions else False


def _same_text(one: str, other: str) -> bool:
    return answers.unwrapped(one).replace(" ", "") == answers.unwrapped(other).replace(" ", "")


def _all_or_nothing(right: bool, **facts: Any) -> Grade:
    return Grade(float(right), float(right), facts)


SCORERS: Mapping[str, Scorer] = {"exact": exact, "contains-all": contains_all, "contains-any": contains_any,
                                 "number": number, "integer": integer, "math": maths}
NUMERIC: Mapping[str, Callable[[str], object]] = {"number": answers.whole_number, "integer": answers.integer}


def find_scorer(name: str, place: str) -> Scorer:
    """Raises CampaignError naming the nearest; `place` is where the name stands."""
    if name not in SCORERS:
        raise CampaignError(f"{place}: there is no scorer {name!r}", hint=nearest(name, SCORERS))
    return SCORERS[name]


def check(scorer: str, wanted: Sequence[str], place: str) -> None:
    """Raises CampaignError for answers that this scorer could never find right."""
    read = NUMERIC.get(scorer)
    for one in wanted:
        if read is not None and read(one) is None:
            raise CampaignError(f"{place}: the answer {one!r} is no {scorer}",
                                hint='The scorers "math" and "exact" take any text.')
