"""Needles after RULER (Hsieh et al., 2404.06654): facts `note KEY VALUE .` in a haystack, and questions by key.

Key and value stand side by side and every answer says the key before the value, so that a value is looked up in a
decode step.
"""
import math

from evaluator.tasks.task import Grade, ProbeTask, judge_places
from evaluator.tasks.text import Question, Random, Text, Words, compose, shuffled
from evaluator.tasks.vocabulary import IS_NUMBER, NAMES, NUMBERS
from vortex.errors import CampaignError

EVERY_KEY = len(NAMES)
VALUES_OF_A_KEY = 4


def single(rng: Random, length: int, questions: int = 1, keys: int = 1) -> Text:
    """One note (training: a few), one key asked."""
    names, most = _names(rng), _fit(length, questions, 6)
    return _lookup(rng, names[:max(1, min(keys, most))], length, questions, 1)


def multikey(rng: Random, length: int, questions: int = 1, keys: int | None = None) -> Text:
    """`keys` notes, at most as many as fit (None: log-uniform), one key asked."""
    names, most = _names(rng), _fit(length, questions, 6)
    return _lookup(rng, names[:_key_count(rng, keys, 4, most)], length, questions, 1)


def multiquery(rng: Random, length: int, questions: int = 1, keys: int | None = None, queries: int = 4) -> Text:
    """As multikey; a question asks `queries` different keys.

    Raises CampaignError when there are fewer keys than that.
    """
    if keys is not None and keys < queries:
        raise CampaignError(f"task multiquery: {queries} queries of {keys} keys", hint="Set keys to at least queries.")
    names, most = _names(rng), _fit(length, questions, 5 * queries + 1)
    return _lookup(rng, names[:_key_count(rng, keys, queries, most)], length, questions, queries)


def multivalue(rng: Random, length: int, questions: int = 1, keys: int | None = None) -> Text:
    """`keys` keys of four notes each; a question lists all values of one key, in any order."""
    names = _names(rng)
    most = (length - 2 - questions * (3 * VALUES_OF_A_KEY + 3)) // (4 * VALUES_OF_A_KEY)
    if keys is None:
        keys = int(rng.integers(1, max(2, most // 2 + 1)))
    keys = max(1, min(keys, most))
    values = {name: [NUMBERS[i] for i in rng.permutation(len(NUMBERS))[:VALUES_OF_A_KEY]] for name in names[:keys]}
    asked = []
    for _ in range(questions):
        name = names[int(rng.integers(keys))]
        asked.append(_listing(name, shuffled(rng, values[name])))
    return compose(rng, [("note", name, value, ".") for name in values for value in values[name]], asked, length)


def _names(rng: Random) -> list[str]:
    return shuffled(rng, NAMES)


def _fit(length: int, questions: int, question_words: int) -> int:
    return min(EVERY_KEY, (length - 2 - questions * question_words) // 4)


def _key_count(rng: Random, keys: int | None, least: int, most: int) -> int:
    if keys is None:
        keys = round(math.exp(rng.uniform(math.log(least), math.log(most))))
    return max(least, min(keys, most))


def _lookup(rng: Random, names: list[str], length: int, questions: int, queries: int) -> Text:
    numbers = rng.integers(0, len(NUMBERS), len(names)).tolist()
    values = {name: NUMBERS[number] for name, number in zip(names, numbers, strict=True)}
    asked = [_asking([names[i] for i in rng.permutation(len(names))[:queries]], values) for _ in range(questions)]
    return compose(rng, [("note", name, value, ".") for name, value in values.items()], asked, length)


def _asking(names: list[str], values: dict[str, str]) -> Question:
    ask, answer = ["ask"], list[str]()
    for place, name in enumerate(names):
        comma = [","] if place else []
        ask += [*comma, name]
        answer += [*comma, name, values[name]]
    return Question((*ask, ":"), (*answer, ";"))


def _listing(name: str, values: list[str]) -> Question:
    answer = [word for place, value in enumerate(values) for word in (["and"] if place else []) + [name, value]]
    return Question(("list", name, ":"), (*answer, ";"))


def judge_values(wanted: Words, said: Words) -> Grade:
    """Values right of values asked, in their places."""
    return judge_places(wanted, said, [place for place, word in enumerate(wanted) if word in IS_NUMBER])


def judge_set(wanted: Words, said: Words) -> Grade:
    """Values found of values asked, in any order; exact when no other number was said."""
    values, found = IS_NUMBER.intersection(wanted), IS_NUMBER.intersection(said)
    return Grade(len(values & found) / len(values), float(values == found))


_KEYS = (1, EVERY_KEY)
_SEVERAL_KEYS = (4, EVERY_KEY)
SINGLE = ProbeTask("single", "One value in a haystack.", single, judge_values, {"keys": _KEYS})
MULTIKEY = ProbeTask("multikey", "One value among many notes.", multikey, judge_values,
                     {"keys": _SEVERAL_KEYS})
MULTIQUERY = ProbeTask("multiquery", "Several values among many notes.", multiquery, judge_values,
                       {"keys": _SEVERAL_KEYS, "queries": (1, 8)})
MULTIVALUE = ProbeTask("multivalue", "All four values of one key, in any order.", multivalue, judge_set,
                       {"keys": _KEYS})
