"""`cwe` and `fwe`: the words of a list that stand in it most often."""
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from evaluator.tasks.ruler import words
from evaluator.tasks.ruler.draft import Count, Draft, Steps
from evaluator.tasks.ruler.draw import PUBLISHED_SEED, Draw
from evaluator.tasks.ruler.needles import SHORT
from vortex.errors import CampaignError

COMMON = 10
_COMMON_TASK = ("A numbered list of words follows. A few of its words come back far more often than the others. Find the {count} "
                "words that stand in it most often.\n{context}\nWhich {count} words are the most frequent in the list?")
_COMMON_OPENING = " The {count} most frequent words of the list are:"
_CODED_TASK = ("A text of coded words follows, in which some words come back again and again. Pay no attention to the dots. "
               "Find the three coded words that stand in it most often.\n{context}\nWhich three coded words are the most "
               "frequent in the text, the dots aside?")
_CODED_OPENING = " The three most frequent coded words are:"
_ALPHA = 2.0
_ZETA = math.pi ** 2 / 6


@dataclass(frozen=True)
class Repeats:
    """How often common and other words come, in the list and in the solved example, which has `words` different words."""

    common: int
    other: int
    example_common: int
    example_other: int
    example_words: int


LONG_LIST, SHORT_LIST = Repeats(30, 3, 10, 3, 40), Repeats(6, 1, 3, 1, 20)


@dataclass(frozen=True)
class CommonWords:
    """`cwe`: ten words come thirty times, all others three times (below 4,096 tokens six times and once)."""

    name: str = "cwe"
    repeats: Repeats = LONG_LIST
    example: bool = True
    budget: int = 120
    any_answer: bool = False
    least: int = COMMON + 1

    def steps(self, length: int) -> Steps:
        """See Kind."""
        return Steps(10, first=4096, factor=2)

    def ready(self, length: int, faithful: bool, count: Count) -> "CommonWords":
        """See Kind. By default an example that takes more than a third of the prompt is left out."""
        chosen = replace(self, repeats=SHORT_LIST if length < SHORT else LONG_LIST)
        return replace(chosen, example=faithful or count(chosen.solved(Draw("cwe example", 0, 0))) <= length // 3)

    def draw(self, draw: Draw, units: int) -> Draft:
        """See Kind; a unit is one more different word."""
        example = self.solved(draw) + "\n" if self.example else ""
        listed, common = _list(draw, units, self.repeats.common, self.repeats.other)
        text = example + _COMMON_TASK.format(context=listed, count=COMMON)
        return Draft(text, _COMMON_OPENING.format(count=COMMON), tuple(common), {"order": draw.order, "example": self.example})

    def solved(self, draw: Draw) -> str:
        """A list with its answer."""
        own = self.repeats
        listed, common = _list(draw, own.example_words, own.example_common, own.example_other)
        return _COMMON_TASK.format(context=listed, count=COMMON) + _COMMON_OPENING.format(count=COMMON) + " " + _numbered(common)


def _list(draw: Draw, different: int, often: int, seldom: int) -> tuple[str, list[str]]:
    known = words.singles(PUBLISHED_SEED if draw.faithful else None)
    picked = draw.random.sample(known, different) if different <= len(known) else words.invented(draw.random, different)
    common, other = picked[:COMMON], picked[COMMON:]
    return _numbered(draw.shuffled(common * often + other * seldom)), common


def _numbered(items: Sequence[str]) -> str:
    return " ".join(f"{place}. {word}" for place, word in enumerate(items, start=1))


@dataclass(frozen=True)
class FrequentWords:
    """`fwe`: coded words of six letters whose counts fall with the square of the rank; dots are the first rank."""

    name: str = "fwe"
    vocabulary: int = 0
    budget: int = 50
    any_answer: bool = False
    least: int = 53              # below it ranks 4 and 5 may come equally often, once rounded down

    def steps(self, length: int) -> Steps:
        """See Kind."""
        room = length - self.budget
        return Steps(max(1, room // 32), first=room // 6)

    def ready(self, length: int, faithful: bool, count: Count) -> "FrequentWords":
        """See Kind."""
        vocabulary = (length - self.budget) // 50
        if vocabulary < 5:
            raise CampaignError(f"fwe at {length} tokens has too few coded words", hint="Ask for 300 tokens or more.")
        return replace(self, vocabulary=vocabulary)

    def draw(self, draw: Draw, units: int) -> Draft:
        """See Kind; a unit is a word of the text, before counts are rounded down."""
        ranked = ["...", *_coded(draw, self.vocabulary)[1:]]
        shares = np.arange(1, len(ranked) + 1) ** -_ALPHA / _ZETA
        counts = (units * shares).astype(int).tolist()
        text = draw.shuffled([word for word, times in zip(ranked, counts, strict=True) for _ in range(times)])
        facts = {"order": draw.order, "vocabulary": self.vocabulary, "counts": counts[:5]}
        return Draft(_CODED_TASK.format(context=" ".join(text)), _CODED_OPENING, tuple(ranked[1:4]), facts)


def _coded(draw: Draw, count: int) -> list[str]:
    """So many different words of six letters, shuffled."""
    found: set[str] = set()
    while len(found) < count:
        found.add(words.letters(draw.random, 6))
    return Random(PUBLISHED_SEED).sample(sorted(found), count) if draw.faithful else draw.random.sample(sorted(found), count)
