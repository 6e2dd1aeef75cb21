"""Most frequent words after RULER: coded words in a haystack; the answer names the three most frequent, in order."""
import numpy as np

from evaluator.tasks.task import Grade, ProbeTask, judge_places
from evaluator.tasks.text import Question, Random, Text, Words, compose, shuffled
from evaluator.tasks.vocabulary import CODES, NAMES

_SHARES = np.array([0.28, 0.19, 0.12] + [0.41 / 12] * 12)
_QUESTION_WORDS = 10        # the question, the answer, both ends of the text, and a little filler


def frequent(rng: Random, length: int) -> Text:
    """A quarter to three fifths of the words are coded; the top three make 28, 19 and 12 % of those."""
    rng.permutation(len(NAMES))                  # every task of the probe draws the names first
    codes = shuffled(rng, CODES)
    coded = min(int(length * rng.uniform(0.25, 0.6)), length - _QUESTION_WORDS)
    counts = np.maximum(1, np.round(_SHARES * coded * rng.uniform(0.92, 1.08, len(_SHARES)))).astype(int)
    counts[1] = min(counts[1], counts[0] - 1)
    counts[2] = min(counts[2], counts[1] - 1)
    facts = [(codes[rank],) for rank, count in enumerate(counts.tolist()) for _ in range(max(0, count))]
    facts = [facts[place] for place in rng.permutation(len(facts)).tolist()[:length - _QUESTION_WORDS]]
    return compose(rng, facts, [Question(("top", ":"), (*codes[:3], ";"))], length)


def judge_ranks(wanted: Words, said: Words) -> Grade:
    """Ranks right of three."""
    return judge_places(wanted, said, range(len(wanted) - 1))


FREQUENT = ProbeTask("frequent", "The three most frequent coded words.", frequent, judge_ranks, {})
