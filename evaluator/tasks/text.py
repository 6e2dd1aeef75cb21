"""How a probe text is put together: facts hidden in a haystack of filler, then questions with their answers."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.tasks import vocabulary
from vortex.errors import CampaignError

Words = tuple[str, ...]
Random = np.random.Generator


@dataclass(frozen=True)
class Question:
    """What is asked (ends in ":") and what is to be said (ends in ";")."""

    ask: Words
    answer: Words

    def __len__(self) -> int:
        return len(self.ask) + len(self.answer)


@dataclass(frozen=True)
class Text:
    """A haystack and the questions about it. The words are as many as the text was asked to have."""

    body: Words
    questions: tuple[Question, ...]

    @property
    def prompt(self) -> Words:
        """Everything before the first answer."""
        return self.body + self.questions[0].ask

    @property
    def answer(self) -> Words:
        """What is to be said to the first question."""
        return self.questions[0].answer

    @property
    def words(self) -> Words:
        """The whole text, answers and the end-of-text word included: what a model is trained on."""
        said = (word for question in self.questions for word in question.ask + question.answer)
        return (*self.body, *said, vocabulary.EOS_WORD)

    @property
    def asked(self) -> tuple[bool, ...]:
        """Of each word: is it to be predicted?"""
        marks = [False] * len(self.body)
        for question in self.questions:
            marks += [False] * len(question.ask) + [True] * len(question.answer)
        return (*marks, True)


def compose(rng: Random, facts: Sequence[Words], questions: Sequence[Question], length: int) -> Text:
    """A text of `length` words: facts in random order at random places of filler, then the questions."""
    room = length - 1 - sum(len(question) for question in questions)
    return Text(_haystack(rng, facts, room), tuple(questions))


def _haystack(rng: Random, facts: Sequence[Words], room: int) -> Words:
    filler_words = room - 1 - sum(len(fact) for fact in facts)
    if filler_words < 0:
        raise CampaignError(f"the facts and questions need {-filler_words} words more than the text has",
                            hint="Ask for a longer text, or for fewer facts.")
    picks = rng.integers(0, len(vocabulary.FILLER), filler_words).tolist()
    stops = (rng.random(filler_words) < 0.1).tolist()
    filler = ["." if stop else vocabulary.FILLER[pick] for pick, stop in zip(picks, stops, strict=True)]
    cuts = np.sort(rng.integers(0, filler_words + 1, len(facts))).tolist()
    order = rng.permutation(len(facts)).tolist()
    words, last = [vocabulary.SPECIAL[vocabulary.BOS]], 0
    for fact, cut in zip(order, cuts, strict=True):
        words += filler[last:cut]
        words += facts[fact]
        last = cut
    return (*words, *filler[last:])


def shuffled(rng: Random, words: Sequence[str]) -> list[str]:
    """The same words in a random order."""
    return [words[index] for index in rng.permutation(len(words)).tolist()]
