"""The eight needle tasks: lines that give a key a value, in a haystack; the values of one key or of four are asked."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from evaluator.tasks.ruler import words
from evaluator.tasks.ruler.draft import Count, Draft, Steps
from evaluator.tasks.ruler.draw import Draw
from evaluator.tasks.ruler.haystack import NOISE, OWN_PROSE, Essays, lay

_MAKERS: Mapping[str, Callable[[Random], str]] = {"words": words.pair, "numbers": words.number, "uuids": words.uuid}
SHORT = 4096                 # below it the published generator takes smaller steps and fewer repeats
_TASK = ("{A} secret {things} {are} hidden in the text that follows. Read closely and keep {them} in mind, because you will "
         "be asked for {them} at the end.\n{context}\nWhich secret {things} {are} given for {query} in the text?")
_OPENING = " The text gives for {query} the secret {things}"


@dataclass(frozen=True)
class Needles:
    """`keys` needles' keys with `values` values each, of which `queries` keys are asked (table A.2 of RULER)."""

    name: str
    haystack: Literal["noise", "essay", "needle"]
    key: Literal["words", "uuids"]
    value: Literal["numbers", "uuids"]
    keys: int = 1
    values: int = 1
    queries: int = 1
    essays: Essays = OWN_PROSE
    budget: int = 128
    any_answer: bool = False

    @property
    def least(self) -> int:
        """Lines or words that leave every needle a place of its own."""
        return 8 if self.haystack == "essay" else self.keys * self.values

    def steps(self, length: int) -> Steps:
        """See Kind."""
        if self.haystack == "essay":
            return Steps(500)
        return Steps(5 if length < SHORT else 25)

    def ready(self, length: int, faithful: bool, count: Count) -> "Needles":
        """See Kind."""
        return self

    def reading(self, essays: Essays) -> "Needles":
        """The same task in other essays."""
        return replace(self, essays=essays)

    def draw(self, draw: Draw, units: int) -> Draft:
        """See Kind; a unit is a line, or a word of the essays."""
        unique = _Unique(draw)
        known: dict[str, list[str]] = {}
        for _ in range(self.keys):
            known[unique(self.key)] = [unique(self.value) for _ in range(self.values)]
        needles = draw.shuffled([(key, value) for key, values in known.items() for value in values])
        lines, places = self._haystack(draw, units, unique)
        if draw.faithful and self.haystack != "essay":
            needles.reverse()          # the published generator fills lines from the last place
        context, depths = lay(lines, [self._line(*needle) for needle in needles], places,
                              " " if self.haystack == "essay" else "\n")
        asked = draw.random.sample(list(known), self.queries)
        depth = dict(zip((value for _, value in needles), depths, strict=True))
        answers = tuple(value for key in asked for value in known[key])
        facts = {"depths": [depth[answer] for answer in answers], "order": draw.order, "needles": len(needles),
                 "places": list(places), "lines": len(lines)}
        return Draft(*self._ask(context, asked), answers, facts)

    def _haystack(self, draw: Draw, units: int, unique: "_Unique") -> tuple[list[str], list[int]]:
        count = self.keys * self.values
        if self.haystack == "essay":
            sentences = self.essays.sentences(draw, units)
            return sentences, draw.places_between(len(sentences), count)
        if self.haystack == "noise":
            lines = [NOISE] * units
        else:
            lines = [self._line(unique(self.key), unique(self.value)) for _ in range(units)]
        return lines, draw.places_in_lines(units, count)

    def _line(self, key: str, value: str) -> str:
        return f"Keep in mind that the secret {self.value[:-1]} for {key} is {value}."

    def _ask(self, context: str, asked: list[str]) -> tuple[str, str]:
        one = self.queries * self.values == 1
        said = {"A": "One" if one else "Several", "are": "is" if one else "are", "them": "it" if one else "them",
                "things": self.value[:-1] if one else self.value, "query": _listed(asked)}
        return _TASK.format(context=context, **said), _OPENING.format(**said)


class _Unique:
    """Keys and values; by default none comes twice. The published generator does not look."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._seen: set[str] = set()

    def __call__(self, kind: str) -> str:
        while True:
            made = _MAKERS[kind](self._draw.random)
            if made not in self._seen or self._draw.faithful:
                self._seen.add(made)
                return made


def _listed(keys: list[str]) -> str:
    return f"{', '.join(keys[:-1])}, and {keys[-1]}" if len(keys) > 1 else keys[0]


NEEDLES = (
    Needles("niah_single_1", "noise", "words", "numbers"),
    Needles("niah_single_2", "essay", "words", "numbers"),
    Needles("niah_single_3", "essay", "words", "uuids"),
    Needles("niah_multikey_1", "essay", "words", "numbers", keys=4),
    Needles("niah_multikey_2", "needle", "words", "numbers"),
    Needles("niah_multikey_3", "needle", "uuids", "uuids"),
    Needles("niah_multivalue", "essay", "words", "numbers", values=4),
    Needles("niah_multiquery", "essay", "words", "numbers", keys=4, queries=4),
)
