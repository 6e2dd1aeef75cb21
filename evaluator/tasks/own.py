"""The family `file:PATH` or `file:PATH:SCORER`: a task of the user's own, one problem a line of a JSONL file.

Columns: `prompt` (or `question`, or `problem`), `answer` (text, number, or a list of them), and, where wanted,
`max_new_tokens`, `scorer` (see scorers.py) and `chance` (what guessing scores).
"""
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluator.nearest import nearest
from evaluator.tasks.fixed import FixedSet, Item
from evaluator.tasks.records import column, distinct, read_file
from evaluator.tasks.scorers import DEFAULT, SCORERS, check, find_scorer
from vortex.errors import CampaignError

ASKED = ("prompt", "question", "problem")
TOKENS = 256                          # of an answer, where the file does not say


def find(rest: str) -> FixedSet:
    """The name of the task, and so of its rows, is that of the file without its folder. Raises CampaignError."""
    path, colon, scorer = rest.rpartition(":")
    if not colon or Path(rest).is_file():
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
    named = record.get("scorer") or scorer
    find_scorer(str(named), place)
    given = record[gold] if isinstance(record[gold], list) else [record[gold]]
    wanted = tuple(_text(one, place) for one in given)
    check(named, wanted, place)
    tokens = record.get("max_new_tokens") or TOKENS
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise CampaignError(f"{place}: max_new_tokens is {tokens!r}", hint="It is a whole number from 1 on.")
    if not isinstance(record[asked], str):
        raise CampaignError(f"{place}: {asked} is no text", hint="What is asked stands in quotes.")
    return Item(record[asked], wanted, named, tokens, _chance(record.get("chance"), place))


def _chance(told: object, place: str) -> float | None:
    if told is None:
        return None
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < 1:
        raise CampaignError(f"{place}: chance is {told!r}", hint="Guessing scores from 0 to less than 1.")
    return told


def _text(answer: object, place: str) -> str:
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        raise CampaignError(f"{place}: the answer {answer!r} is no text and no number", hint="Several answers stand in a list.")
    return str(answer)
