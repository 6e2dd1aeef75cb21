"""Variable tracking after RULER: notes `note A B .` form chains that end in a number; a question follows one chain."""
from itertools import pairwise

from evaluator.tasks.task import Grade, ProbeTask, judge_places
from evaluator.tasks.text import Question, Random, Text, Words, compose, shuffled
from evaluator.tasks.vocabulary import NAMES, NUMBERS
from vortex.errors import CampaignError


def tracking(rng: Random, length: int, questions: int = 1, keys: int | None = None, hops: int = 4) -> Text:
    """`keys` names in chains of 1 to `hops` + 1 (None: a random count); the answer to one question has `hops` hops.

    Raises CampaignError when `keys` names cannot make such a chain.
    """
    names = shuffled(rng, NAMES)
    most = min(len(NAMES), (length - 2 - questions * (hops + 6)) // 4)
    if keys is None:
        keys = int(rng.integers(min(most, hops + 1), most + 1))
    elif keys <= hops:
        raise CampaignError(f"task tracking: {keys} keys cannot make a chain of {hops} hops",
                            hint="Set keys above hops.")
    chains = _chains(rng, names[:min(keys, most)], hops)
    asked = []
    for _ in range(questions):
        chain = chains[0] if questions == 1 else chains[int(rng.integers(len(chains)))]
        asked.append(Question(("trace", chain[0], ":"), (*chain, ";")))
    facts = [("note", name, value, ".") for chain in chains for name, value in pairwise(chain)]
    return compose(rng, facts, asked, length)


def _chains(rng: Random, names: list[str], hops: int) -> list[Words]:
    chains: list[Words] = []
    start = 0
    while start < len(names):
        wish = int(rng.integers(1, hops + 2)) if chains else hops + 1
        stop = min(len(names), start + wish)
        chains.append((*names[start:stop], NUMBERS[int(rng.integers(len(NUMBERS)))]))
        start = stop
    return chains


def judge_hops(wanted: Words, said: Words) -> Grade:
    """Hops right of hops asked; the first word of an answer repeats the question and does not count."""
    return judge_places(wanted, said, range(1, len(wanted) - 1))


TRACKING = ProbeTask("tracking", "A variable followed over several notes.", tracking, judge_hops,
                     {"keys": (1, len(NAMES)), "hops": (1, 8)})
