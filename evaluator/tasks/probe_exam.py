"""A quick look at a probe in training: is every answer word the most likely one, given the right words before it?"""
import numpy as np
import torch

from evaluator.tasks.chain import chain
from evaluator.tasks.frequent import frequent
from evaluator.tasks.needles import EVERY_KEY, multikey, multiquery, multivalue, single
from evaluator.tasks.probe_model import ProbeModel
from evaluator.tasks.text import Random, Text
from evaluator.tasks.tracking import tracking
from evaluator.tasks.vocabulary import ID, IS_NUMBER, WORDS

EXAM_SEED = 1234


def _question(rng: Random, task: str, length: int) -> Text:
    if task == "multikey":
        return multikey(rng, length, keys=EVERY_KEY)
    if task == "multiquery":
        return multiquery(rng, length, keys=length // 8)
    if task == "multivalue":
        return multivalue(rng, length, keys=length // 64)
    if task == "tracking":
        return tracking(rng, length, keys=length // 8)
    if task == "chain":
        return chain(rng, length)
    return single(rng, length) if task == "single" else frequent(rng, length)


@torch.no_grad()
def exam(model: ProbeModel, length: int, count: int) -> dict[str, float]:
    """The share of `count` texts of each task whose whole answer is right."""
    rng = np.random.default_rng(EXAM_SEED)
    shares = {}
    for task in ("single", "multikey", "multiquery", "multivalue", "tracking", "chain", "frequent"):
        texts = [_question(rng, task, length) for _ in range(count)]
        tokens = torch.tensor([[ID[word] for word in text.words] for text in texts])
        guesses = model.lm_head(model(tokens)).argmax(-1).tolist()
        free = task == "multivalue"
        right = sum(_right(text, guess, free_order=free) for text, guess in zip(texts, guesses, strict=True))
        shares[task] = round(right / count, 3)
    return shares


def _right(text: Text, guesses: list[int], *, free_order: bool) -> bool:
    start = len(text.prompt)
    for place, word in enumerate(text.answer, start):
        guess = WORDS[guesses[place - 1]] if guesses[place - 1] < len(WORDS) else ""
        if guess != word and not (free_order and word in IS_NUMBER and guess in text.words[place:]):
            return False
    return True
