"""What a task is: samples from (seed, index), and a grade for what was said."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from evaluator.tasks import vocabulary
from evaluator.tasks.reader import Reader
from evaluator.tasks.text import Random, Text, Words
from vortex.errors import CampaignError

LENGTH_MIN = 64


@dataclass(frozen=True)
class Sample:
    """One problem: the whole prompt as the engine's tokenizer gets it, chat template and all, and what is to be said.

    `answer` is one text; `answers` are texts that count singly, where a task asks for several. `facts` tell how it was
    made (plain JSON: depths, documents). A text of the probe has single spaces, and its words are tokens.
    """

    id: str
    prompt: str
    answer: str
    max_new_tokens: int
    answers: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Grade:
    """Both in [0, 1]: the share of what was asked that is right, and whether all of it (chain: the last value) is.

    `facts` are what a row keeps of how it was judged (plain JSON): was there a box, does a second judge disagree?
    """

    score: float
    exact: float
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)


class TaskSet(Protocol):
    """What a campaign's `tasks` name (evaluator/tasks/door.py); all of it stays in the driver."""

    @property
    def name(self) -> str:
        """As the campaign calls it, without a slash: rows are called NAME/SEED/INDEX."""

    def samples(self, seed: int, count: int, reader: Reader) -> Sequence[Sample]:
        """Samples 0 to `count` - 1 of this seed, for this model; fewer where a data set has no more.

        Raises CampaignError (a length that the model cannot read, data that cannot be had) and ModelError.
        """

    def grade(self, sample: Sample, text: str) -> "Grade":
        """`text` is what was generated after the prompt, without special tokens."""

    def fingerprint(self) -> str:
        """What tells its contents from those of another version: of the generator, or of the data file."""

    def contents(self) -> str:
        """The same for two names of the same problems; nothing where a network would have to be asked."""


class Task(Protocol):
    """Everything the evaluator needs of a task; settings are whole numbers such as `length` or `keys`."""

    @property
    def name(self) -> str: ...

    def samples(self, seed: int, count: int, **settings: int) -> Sequence[Sample]:
        """Sample i depends on the task, the settings, the seed and i alone. Raises CampaignError."""

    def grade(self, sample: Sample, text: str) -> Grade:
        """`text` is what was generated after the prompt; what follows the end-of-text word does not count."""


@dataclass(frozen=True)
class ProbeTask:
    """A task of the probe: how its texts are written, how answers are graded, and what its settings may be."""

    name: str
    doc: str
    write: Callable[..., Text]
    judge: Callable[[Words, Words], Grade]
    limits: Mapping[str, tuple[int, int]]

    def samples(self, seed: int, count: int, **settings: int) -> tuple[Sample, ...]:
        """Raises CampaignError for a setting that the task does not have, or that is out of its range."""
        self._check(settings)
        label = "-".join([self.name, *(f"{key}{value}" for key, value in sorted(settings.items()))])
        key = crc32(self.name.encode())
        rngs = (np.random.default_rng((seed, index, key)) for index in range(count))
        return tuple(self.sample(f"{label}/{seed}/{index}", rng, **settings) for index, rng in enumerate(rngs))

    def sample(self, name: str, rng: Random, **settings: int) -> Sample:
        """The next sample of a running generator: how the published table's samples are drawn again."""
        text = self.write(rng, **settings)
        return Sample(name, " ".join(text.prompt), " ".join(text.answer), len(text.answer))

    def grade(self, sample: Sample, text: str) -> Grade:
        """See Task."""
        wanted = tuple(sample.answer.split())
        return self.judge(wanted, spoken(text)[:len(wanted)])

    def _check(self, settings: Mapping[str, int]) -> None:
        limits = {"length": (LENGTH_MIN, 1 << 20), **self.limits}
        if "length" not in settings:
            raise CampaignError(f"task {self.name}: length is not set", hint="length is the words of a text.")
        for name, value in settings.items():
            if name not in limits:
                near = get_close_matches(name, limits, 1)
                hint = f"Did you mean {near[0]}?" if near else f"Settings: {', '.join(limits)}."
                raise CampaignError(f"task {self.name} has no setting {name}", hint=hint)
            low, high = limits[name]
            if not low <= value <= high:
                raise CampaignError(f"task {self.name}: {name} = {value}", hint=f"{name} is {low} to {high}.")


def spoken(text: str) -> Words:
    """The words before the end of the text."""
    words = text.split()
    return tuple(words[:words.index(vocabulary.EOS_WORD)] if vocabulary.EOS_WORD in words else words)


def judge_places(wanted: Words, said: Words, places: Sequence[int]) -> Grade:
    """The share of the places where the wanted word stands."""
    hits = [place < len(said) and said[place] == wanted[place] for place in places]
    return Grade(sum(hits) / len(hits), float(all(hits)))
