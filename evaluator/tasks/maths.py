"""The family `math:NAME`: competition problems by name, of the hub or of a local file, and a small set of our own.

Texts of competitions belong to those who set them: they are fetched when they are asked for, and none are shipped.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources

from evaluator.nearest import nearest
from evaluator.tasks import answers
from evaluator.tasks.fixed import FixedSet, Item
from evaluator.tasks.records import Record, column, distinct, question, read_file, read_hub, right_answer
from vortex.errors import CampaignError

INSTRUCTION = "Reason step by step. When you are done, state the final answer once, inside \\boxed{}."
COMPETITION_TOKENS = 32_768
SMALL_TOKENS = 512


@dataclass(frozen=True)
class MathSet:
    """Where a set lies and how it is read. Answers are whole numbers up to `most`; None: they are LaTeX."""

    doc: str
    hub: str = ""
    split: str = "test"
    problem: str = "problem"
    most: int | None = None
    max_new_tokens: int = COMPETITION_TOKENS

    @property
    def scorer(self) -> str:
        return "math" if self.most is None else "integer"


SETS: Mapping[str, MathSet] = {
    "aime24": MathSet("AIME 2024, both papers: 30 problems.", "HuggingFaceH4/aime_2024", "train", most=999),
    "aime25": MathSet("AIME 2025, both papers: 30 problems.", "math-ai/aime25", most=999),
    "aime26": MathSet("AIME 2026, both papers: 30 problems.", "math-ai/aime26", most=999),
    "amc23": MathSet("AMC 12 of 2023, answers as whole numbers: 40 problems.", "math-ai/amc23", problem="question", most=10**9),
    "math500": MathSet("MATH-500, answers in LaTeX: 500 problems.", "HuggingFaceH4/MATH-500"),
    "small": MathSet("40 short problems of our own, for tests and small models.", most=10**9, max_new_tokens=SMALL_TOKENS),
}


def find(rest: str) -> FixedSet:
    """`NAME`, or `NAME=FILE` for a local file of the same columns. Raises CampaignError for a name that is none."""
    name, given, path = rest.partition("=")
    if name not in SETS:
        raise CampaignError(f"there is no set math:{name}", hint=nearest(name, SETS))
    return FixedSet(f"math:{name}", partial(_read, SETS[name], path if given else None), here=bool(given) or not SETS[name].hub)


def _read(kind: MathSet, path: str | None) -> tuple[Item, ...]:
    if path is not None:
        records, place = read_file(path), path
    elif kind.hub:
        records, place = read_hub(kind.hub, kind.split), f"the data set {kind.hub}"
    else:
        records, place = read_file(str(resources.files("evaluator").joinpath("tasks", "maths_small.jsonl"))), "math:small"
    return _items(kind, records, place)


def _items(kind: MathSet, records: Sequence[Record], place: str) -> tuple[Item, ...]:
    asked, gold = column(records, (kind.problem,), place), column(records, ("answer",), place)
    places = [f"{place}, problem {index}" for index in range(len(records))]
    texts = [question(record[asked], at).strip() for record, at in zip(records, places, strict=True)]
    distinct(texts, place)
    right = [canonical(kind, right_answer(record[gold], at), at) for record, at in zip(records, places, strict=True)]
    return tuple(Item(f"{text}\n\n{INSTRUCTION}", (answer,), kind.scorer, kind.max_new_tokens)
                 for text, answer in zip(texts, right, strict=True))


def canonical(kind: MathSet, answer: str, place: str) -> str:
    """A right answer in the form it is compared in: `$025$` is 25; LaTeX stays. Raises CampaignError."""
    if kind.most is None:
        return answer.strip()
    value = answers.integer(answer)
    if value is None or not 0 <= value <= kind.most:
        raise CampaignError(f"{place}: the answer {answer!r} is no whole number from 0 to {kind.most:,}",
                            hint="Is this file the set that its name says?")
    return str(value)
