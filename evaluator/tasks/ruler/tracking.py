"""`vt`: one variable gets a number, four more get it from one another; every name that holds the number is asked."""
from dataclasses import dataclass, replace

from evaluator.tasks.ruler import words
from evaluator.tasks.ruler.draft import Count, Draft, Steps
from evaluator.tasks.ruler.draw import Draw
from evaluator.tasks.ruler.fit import largest
from evaluator.tasks.ruler.haystack import NOISE, lay
from evaluator.tasks.ruler.needles import SHORT
from vortex.errors import CampaignError

HOPS = 4
EXAMPLE_TOKENS = 500
_TASK = ("The text that follows sets variables, some of them from other variables. Follow every assignment to the number "
         "that it ends in.\n{context}\nWhich variables hold the number {value}? Name all of them.")
_OPENING = " The number {value} is held by {count} variables, which are:"


@dataclass(frozen=True)
class Tracking:
    """`example`: lines of noise in the solved example that opens the prompt; 0: there is none."""

    name: str = "vt"
    example: int = 0
    budget: int = 30
    any_answer: bool = False
    least: int = HOPS + 1

    def steps(self, length: int) -> Steps:
        """See Kind. The published search does not see the example in its first look, ours does: it goes further."""
        return Steps(5 if length < SHORT else 10, factor=12)

    def ready(self, length: int, faithful: bool, count: Count) -> "Tracking":
        """See Kind: the example takes at most 500 tokens. By default also at most a third of the prompt, or it is left out."""
        def tokens(lines: int) -> int:
            return count(_example(Draw("vt example", 0, 0), lines))

        try:
            room = EXAMPLE_TOKENS if faithful else min(EXAMPLE_TOKENS, length // 3)
            return replace(self, example=largest(tokens, room, self.least).units)
        except CampaignError:
            if faithful:
                raise
            return self

    def draw(self, draw: Draw, units: int) -> Draft:
        """See Kind; a unit is a line of noise."""
        context, names, value, depths = _chain(draw, units, 5)
        example = _example(draw, self.example) + "\n\n" if self.example else ""
        asked = _TASK.format(context=context, value=value)
        facts = {"depths": depths, "example_lines": self.example}
        return Draft(example + asked, _OPENING.format(value=value, count=len(names)), tuple(names), facts)


def _chain(draw: Draw, lines: int, letters: int) -> tuple[str, list[str], int, list[float]]:
    """The text, the names from the first to the last, their number, and their depths."""
    names: list[str] = []
    while len(names) <= HOPS:
        name = words.letters(draw.random, letters, upper=True)
        if name not in names or draw.faithful:       # the published generator keeps names that come twice
            names.append(name)
    value = draw.number(10_000, 99_999)
    sources = [str(value), *names]
    needles = [f"LET {name} = {source}" for name, source in zip(names, sources, strict=False)]
    context, depths = lay([NOISE] * lines, needles, draw.places_in_lines(lines, len(needles)), "\n")
    return context, names, value, depths


def _example(draw: Draw, lines: int) -> str:
    context, names, value, _ = _chain(draw, lines, 3)
    return _TASK.format(context=context, value=value) + _OPENING.format(value=value, count=len(names)) + " " + " ".join(names)
