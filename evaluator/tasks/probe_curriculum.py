"""What the probe is taught and when: lessons, their mix, and the gates from one text length to the next."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluator.tasks.chain import BASE, chain
from evaluator.tasks.frequent import frequent
from evaluator.tasks.needles import multikey, multiquery, multivalue, single
from evaluator.tasks.text import Random, Text, Words
from evaluator.tasks.tracking import tracking
from evaluator.tasks.vocabulary import EOS_WORD, LEFT, NAMES, NUMBERS, RESULT, RIGHT, STEPS_MAX

LENGTHS = (8, 12, 16, 32, 64, 128, 256, 512, 1024, 2048)
_STREAM_MAX, _SHORT_MAX = 32, 128         # up to here streams alone; up to here the mix for short texts
# The two slow parts (sums of two digits; not saying a value twice) are learnt on short texts, where a sample is cheap.
MIX_SHORT = {"stream": .03, "drill": .20, "single": .02, "multikey": .07, "multiquery": .11, "multivalue": .28,
             "tracking": .08, "chain": .15, "frequent": .06}
MIX = {"stream": .03, "drill": .03, "single": .03, "multikey": .14, "multiquery": .15, "multivalue": .20,
       "tracking": .10, "chain": .25, "frequent": .07}
MIX_LAST = {**MIX, "chain": .35}
LAST_LENGTHS, LAST_SHARES = LENGTHS[-5:], (.1, .2, .25, .25, .2)
GATES = {"stream": .93, "drill": .96, "multikey": .97, "multiquery": .97, "multivalue": .96, "tracking": .97,
         "chain": .985}
# The share of the time budget at which a length is left even if its gates are still shut.
CAPS = {64: .18, 128: .35, 256: .44, 512: .52, 1024: .60}


@dataclass(frozen=True)
class Lesson:
    """A text to train on; `asked` marks the words that are to be predicted."""

    task: str
    words: Words
    asked: tuple[bool, ...]


def stream(rng: Random, length: int, keys: int) -> Lesson:
    """`k v k v ...`: every repeated key is asked. The first lesson, where looking back is learnt."""
    names = [NAMES[i] for i in rng.permutation(len(NAMES))[:keys]]
    values = [NUMBERS[i] for i in rng.integers(0, len(NUMBERS), len(names))]
    picks = rng.integers(0, len(names), length // 2).tolist()
    words = [word for pick in picks for word in (names[pick], values[pick])]
    seen: set[int] = set()
    asked: list[bool] = []
    for pick in picks:
        asked += [False, pick in seen]
        seen.add(pick)
    return Lesson("stream", tuple(words), tuple(asked))


def drill(rng: Random, length: int) -> Lesson:
    """The arithmetic of `chain` alone: lines of a derivation of which only the sums are asked."""
    words, asked = ["<bos>"], [False]
    while len(words) + 9 <= length:
        step = int(rng.integers(STEPS_MAX))
        a, b = rng.integers(0, BASE, 2).tolist()
        first, second = (NAMES[i] for i in rng.integers(0, len(NAMES), 2))
        words += [LEFT[step], first, NUMBERS[a], RIGHT[step], second, NUMBERS[b]]
        words += [RESULT[step], NUMBERS[(a + b) % BASE], ";"]
        asked += [False] * 7 + [True, False]
    rest = length - len(words)
    return Lesson("drill", (*words, *[EOS_WORD] * rest), (*asked, *[False] * rest))


def lesson(rng: Random, task: str, length: int) -> Lesson:
    """A lesson of this task; answers take 15 to 40 % of a text, so that every text asks many questions."""
    if task == "drill":
        return drill(rng, length)
    if task == "stream":
        return stream(rng, length, min(len(NAMES), max(2, int(length / 2 * rng.uniform(.2, .5)))))
    text = _text(rng, task, length)
    return Lesson(task, text.words, text.asked)


def _text(rng: Random, task: str, length: int) -> Text:
    answers = length * (.15 + .25 * rng.random())
    if task == "single":
        return single(rng, length, max(1, int(answers / 6)), int(rng.integers(1, 4)))
    if task == "multikey":
        return multikey(rng, length, max(1, int(answers / 6)))
    if task == "multiquery":
        queries = int(rng.integers(2, 9 if length >= _SHORT_MAX else 4))
        return multiquery(rng, length, max(1, int(answers / (5 * queries + 1))), queries=queries)
    if task == "multivalue" and length <= _SHORT_MAX:
        return multivalue(rng, length, length // 32, int(rng.integers(1, length // 32 + 1)))
    if task == "multivalue":
        return multivalue(rng, length, max(1, int(answers / 15)))
    if task == "tracking":
        hops = int(rng.integers(1, 5))
        return tracking(rng, length, max(1, int(answers / (hops + 6))), hops=hops)
    return chain(rng, length) if task == "chain" else frequent(rng, length)


@dataclass
class Curriculum:
    """Where the training stands: the place among `lengths`, and running accuracies by task at this place."""

    lengths: Sequence[int] = LENGTHS
    tokens: int = 4096
    place: int = 0
    steps_here: int = 0
    accuracy: dict[str, float] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The length being taught; on the last place the longest of several."""
        return self.lengths[self.place]

    @property
    def last(self) -> bool:
        return self.place == len(self.lengths) - 1

    def lessons(self, rng: Random) -> list[Lesson]:
        """One step's batch, all of one length."""
        length = self._draw_length(rng)
        count = max(2, (self.tokens if length > _SHORT_MAX else min(2048, self.tokens)) // length)
        return [self._draw(rng, length) for _ in range(count)]

    def _draw_length(self, rng: Random) -> int:
        if self.last and self.length == LENGTHS[-1]:
            return int(rng.choice(LAST_LENGTHS, p=LAST_SHARES))
        if self.length > _SHORT_MAX and rng.random() < 0.3:                  # keep the shorter lengths alive
            return int(self.lengths[int(rng.integers(self.lengths.index(2 * _STREAM_MAX), self.place))])
        return self.length

    def _draw(self, rng: Random, length: int) -> Lesson:
        if self.length <= _STREAM_MAX:
            return stream(rng, length, max(2, int(length / 2 * rng.uniform(.25, .6))))
        mix = MIX_LAST if self.last else MIX if length > _SHORT_MAX else MIX_SHORT
        shares = np.array([share * self._need(task) for task, share in mix.items()])
        return lesson(rng, list(mix)[rng.choice(len(mix), p=shares / shares.sum())], length)

    def _need(self, task: str) -> float:
        """On the last place a task still wrong is drawn more often; `frequent` stays noisy, so its share is capped."""
        if not self.last:
            return 1.0
        return .15 + min(.3 if task == "frequent" else 1, 5 * (1 - self.accuracy.get(task, .9)))

    def learn(self, length: int, shares: Sequence[tuple[str, float]]) -> None:
        """Takes in the share of right answers of each text of a step."""
        self.steps_here += 1
        if not self.last and length != self.length:
            return
        for task, share in shares:
            self.accuracy[task] = self.accuracy.get(task, share) * .97 + .03 * share

    def advance(self, time_share: float) -> bool:
        """Goes to the next length when this one is learnt, or when its time is over."""
        short = self.length <= _STREAM_MAX
        gates: Mapping[str, float] = {"stream": .95} if short else GATES
        if self.last or self.steps_here <= (40 if short else 60):
            return False
        passed = all(self.accuracy.get(task, 0) > gate for task, gate in gates.items())
        if not passed and time_share <= CAPS.get(self.length, 9):
            return False
        self.place, self.steps_here, self.accuracy = self.place + 1, 0, {}
        return True
