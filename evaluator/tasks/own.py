"""The family `file:PATH` or `file:PATH:SCORER`: a task of the user's own, one problem a line of a JSONL file.

Columns: `prompt` (or `question`, or `problem`), `answer` (text, number, or a list of them), and, where wanted,
`max_new_tokens`, `scorer` (see scorers.py) and `chance` (what guessing scores).
"""
import re
import reprlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluator.nearest import nearest
from evaluator.tasks.fixed import FixedSet, Item
from evaluator.tasks.local import find_file
from evaluator.tasks.records import column, distinct, question, read_file, right_answer
from evaluator.tasks.scorers import DEFAULT, SCORERS, check, find_scorer
from vortex.errors import CampaignError

ASKED = ("prompt", "question", "problem")
TOKENS = 256                          # of an answer, where the file does not say
_NUMBER = re.compile(r"[0-9]{1,18}|[0-9]{0,9}\.[0-9]{1,18}")


def find(rest: str) -> FixedSet:
    """The name of the task, and so of its rows, is that of the file without its folder. Raises CampaignError."""
    path, colon, scorer = rest.rpartition(":")
    if not colon or find_file(rest):
        path, scorer = rest, ""
    elif scorer not in SCORERS and "." not in scorer and "/" not in scorer:
        raise CampaignError(f"file:{rest}: there is no scorer {scorer!r}", hint=nearest(scorer, SCORERS))
    elif scorer not in SCORERS:
        path, scorer = rest, ""
    return FixedSet(f"file:{Path(path).stem}", partial(_read, path, scorer or DEFAULT))


def _read(path: str, scorer: str) -> tuple[Item, ...]:
    records = read_file(path)
    asked, gold = column(records, ASKED, path), column(records, ("answer",), path)
    items = tuple(_item(record, asked, gold, scorer, f"{path}, problem {place}") for place, record in enumerate(records))
    distinct([item.prompt.strip() for item in items], path)
    return items


def _item(record: Mapping[str, Any], asked: str, gold: str, scorer: str, place: str) -> Item:
    named = _given(record, "scorer", scorer)
    find_scorer(str(named), place)
    given = record[gold] if isinstance(record[gold], list) else [record[gold]]
    wanted = tuple(right_answer(one, place) for one in given)
    check(named, wanted, place)
    return Item(question(record[asked], place), wanted, named, _tokens(_given(record, "max_new_tokens", TOKENS), place),
                _chance(_given(record, "chance", None), place))


def _given(record: Mapping[str, Any], name: str, usual: Any) -> Any:
    return usual if record.get(name) in (None, "") else record[name]


def _tokens(value: object, place: str) -> int:
    found = _as_number(value)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise CampaignError(f"{place}: max_new_tokens is {reprlib.repr(value)}", hint="It is a whole number from 1 on.")
    return found


def _chance(value: object, place: str) -> float | None:
    found = _as_number(value)
    if found is None:
        return None
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < 1:
        raise CampaignError(f"{place}: chance is {reprlib.repr(value)}", hint="Guessing scores from 0 to less than 1.")
    return float(found)


def _as_number(value: object) -> object:
    """In a CSV file every number is a text."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)
