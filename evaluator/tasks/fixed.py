"""A task whose problems are given: shuffled by seed, asked through the chat template, graded by a scorer with a name."""
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from evaluator.tasks import answers
from evaluator.tasks.parts import drawn_from
from evaluator.tasks.reader import Reader
from evaluator.tasks.rendering import Manner, manner, rendered, thinks
from evaluator.tasks.scorers import find_scorer
from evaluator.tasks.task import Grade, Sample
from vortex.errors import CampaignError


@dataclass(frozen=True)
class Item:
    """One problem: what is asked, instructions included; the answers that count; how they are compared; and what guessing
    scores, where that is told."""

    prompt: str
    wanted: tuple[str, ...]
    scorer: str
    max_new_tokens: int
    chance: float | None = None


@dataclass(frozen=True)
class FixedSet:
    """A TaskSet of given problems, read when they are first needed: `here`, or from the hub. INDEX in a row's id is a problem's
    place in the data."""

    name: str
    read: Callable[[], tuple[Item, ...]]
    here: bool = True

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Raises CampaignError and MissingExtra where the data cannot be had, or is not what it should be."""
        return self.read()

    def samples(self, seed: int, count: int, reader: Reader) -> Sequence[Sample]:
        """See TaskSet. Facts: `part` of the data that this seed draws from, `thinking`, and `chance` where it is told."""
        how = manner(reader)
        places, part = drawn_from(range(len(self.items)), [item.prompt for item in self.items], seed)
        random.Random(f"{self.name}/{seed}").shuffle(places)
        return tuple(self._sample(place, seed, self._prompt(place, reader, how), part, how) for place in places[:count])

    def _prompt(self, place: int, reader: Reader, how: Manner) -> str:
        prompt = rendered(reader, how, self.items[place].prompt)
        if (tokens := reader.count(prompt)) >= reader.max_tokens:
            raise CampaignError(f"{self.name}, problem {place}: {tokens:,} tokens, and {reader.model} reads at most "
                                f"{reader.max_tokens:,} with its answer", hint="Take the problem out, or another model.")
        return prompt

    def _sample(self, place: int, seed: int, prompt: str, part: str, how: Manner) -> Sample:
        item = self.items[place]
        facts: dict[str, Any] = {"part": part, "thinking": thinks(how, prompt)}
        facts |= {} if item.chance is None else {"chance": item.chance}
        return Sample(id=f"{self.name}/{seed}/{place}", prompt=prompt, answer=item.wanted[0], answers=item.wanted,
                      max_new_tokens=item.max_new_tokens, facts=facts)

    def grade(self, sample: Sample, text: str) -> Grade:
        """See TaskSet. What was thought does not count, and an answer that was never reached is none."""
        item = self.items[int(sample.id.rpartition("/")[2])]
        return find_scorer(item.scorer, self.name)(item.wanted, answers.said(text, sample.facts["thinking"]))

    def fingerprint(self) -> str:
        """See TaskSet."""
        return self._hash

    def contents(self) -> str:
        """See TaskSet."""
        return self._hash if self.here else ""

    @cached_property
    def _hash(self) -> str:
        text = json.dumps([{name: value for name, value in asdict(item).items() if value is not None} for item in self.items])
        return f"fixed-1 {len(self.items)} problems {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
