"""`chain`: a derivation of hundreds of generated words, each line looking back at the prompt and at earlier lines.

A program line `set x7 amber y7 c3 .` says c7 = amber + c3 (mod 10); lines and givens stand in random order. The answer
works the program off, nine words a line: `x7 amber 4 y7 c3 9 c7 3 ;`. It stands in for mathematical reasoning: one
value looked up wrong spoils what follows.
"""
from dataclasses import dataclass, field

from evaluator.tasks.task import Grade, ProbeTask
from evaluator.tasks.text import Question, Random, Text, Words, compose, shuffled
from evaluator.tasks.vocabulary import LEFT, NAMES, NUMBERS, RESULT, RIGHT, STEPS_MAX
from vortex.errors import CampaignError

BASE = 10
LINES_MAX = 60
_LINE_WORDS = 17            # program and answer words of one line
_ANSWER_TAIL = 4            # `answer c60 3 ;`


@dataclass
class _Program:
    """Values known so far, those not used yet, and the lines and derivation written so far."""

    values: dict[str, int]
    fresh: list[str]
    lines: list[Words] = field(default_factory=list)
    derivation: list[str] = field(default_factory=list)

    def operand(self, rng: Random) -> str:
        """Half of the operands are drawn from values not used so far, so that more lines matter."""
        pool = self.fresh if self.fresh and rng.random() < 0.5 else list(self.values)
        name = pool[int(rng.integers(len(pool)))]
        if name in self.fresh:
            self.fresh.remove(name)
        return name

    def step(self, rng: Random, number: int) -> None:
        """Writes line `number` (0-based) and derives its value."""
        left, right, result = LEFT[number], RIGHT[number], RESULT[number]
        first, second = self.operand(rng), self.operand(rng)
        a, b = self.values[first], self.values[second]
        value = (a + b) % BASE
        self.lines.append(("set", left, first, right, second, "."))
        self.derivation += [left, first, NUMBERS[a], right, second, NUMBERS[b], result, NUMBERS[value], ";"]
        self.values[result] = value
        self.fresh.append(result)


def chain(rng: Random, length: int, steps: int | None = None) -> Text:
    """A program of `steps` lines (None: mostly as many as fit, at most 60) and the run that works it off.

    Raises CampaignError when the text cannot hold them.
    """
    names = shuffled(rng, NAMES)
    fit = (length - 20) // _LINE_WORDS
    if steps is None:
        steps = max(1, min(round(min(LINES_MAX, fit) * (1 - 0.7 * rng.random() ** 2)), fit))
    if not 1 <= steps <= min(LINES_MAX, fit):
        raise CampaignError(f"task chain: a text of {length} words cannot hold steps = {steps}",
                            hint=f"A line takes {_LINE_WORDS} words; steps is 1 to {LINES_MAX}.")
    givens = names[:max(2, steps // 3)]
    start = int(rng.integers(0, STEPS_MAX - steps))
    values = dict(zip(givens, rng.integers(0, BASE, len(givens)).tolist(), strict=True))
    notes: list[Words] = [("note", name, NUMBERS[value], ".") for name, value in values.items()]
    program = _Program(values, list(values))
    for number in range(start, start + steps):
        program.step(rng, number)
    last, end = RESULT[start + steps - 1], LEFT[start + steps]
    program.lines.append(("set", end, "answer", last, "."))
    answer = (*program.derivation, end, "answer", last, NUMBERS[program.values[last]], ";")
    return compose(rng, notes + program.lines, [Question(("run", LEFT[start], ":"), answer)], length)


def judge_derivation(wanted: Words, said: Words) -> Grade:
    """Score: the share of lines before the first wrong one. Exact: the final answer is right, where it belongs."""
    lines, right, line_right = 0, 0, True
    for place, word in enumerate(wanted):
        line_right = line_right and place < len(said) and said[place] == word
        if word == ";":
            lines += 1
            right += line_right
    tail = len(wanted) - _ANSWER_TAIL
    return Grade(right / lines, float(said[tail:] == wanted[tail:]))


def share_before_mistake(wanted: Words, said: Words) -> float:
    """The share of the wanted words that was said before the first mistake: a finer score than that by lines."""
    for place, word in enumerate(wanted):
        if place >= len(said) or said[place] != word:
            return place / len(wanted)
    return 1.0


CHAIN = ProbeTask("chain", "A long derivation, each line looking back.", chain, judge_derivation,
                  {"steps": (1, LINES_MAX)})
