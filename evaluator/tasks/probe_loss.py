"""The loss of the probe's training: on answers only, long ones not drowning short ones, values in any order said."""
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from evaluator.tasks.needles import VALUES_OF_A_KEY
from evaluator.tasks.probe_curriculum import Lesson
from evaluator.tasks.probe_model import ProbeModel
from evaluator.tasks.vocabulary import ID, MARKS, NUMBERS, SPECIAL

NUMBER_WEIGHT = 3.0
_FIRST_NUMBER, _MARKS_END = ID[NUMBERS[0]], len(SPECIAL) + len(MARKS)
_PAST_NUMBERS = _FIRST_NUMBER + len(NUMBERS)


def loss_and_shares(model: ProbeModel, lessons: Sequence[Lesson]) -> tuple[Tensor, list[tuple[str, float]]]:
    """The loss of one batch, and per text the share of its asked names, numbers and codes that were right."""
    tokens = torch.tensor([[ID[word] for word in lesson.words] for lesson in lessons])
    asked = torch.tensor([lesson.asked for lesson in lessons])
    asked[:, 0] = False                                     # nothing stands before the first word
    wanted, row = tokens[asked], asked.nonzero()[:, 0]
    number = (wanted >= _FIRST_NUMBER) & (wanted < _PAST_NUMBERS)
    weight = asked.sum(1).clamp(min=1).float().rsqrt()[row] * torch.where(number, NUMBER_WEIGHT, 1.0)
    with torch.autocast(tokens.device.type, torch.bfloat16):
        hidden = model(tokens)[asked.roll(-1, 1)]
    logits = model.lm_head(hidden.float())
    loss, right = functional.cross_entropy(logits, wanted, reduction="none"), (logits.argmax(-1) == wanted).float()
    unordered = number & torch.tensor([lesson.task == "multivalue" for lesson in lessons])[row]
    if unordered.any():
        set_loss, set_right = _any_order(logits[unordered], wanted[unordered])
        loss, right = loss.masked_scatter(unordered, set_loss), right.masked_scatter(unordered, set_right)
    return (loss * weight).sum() / weight.sum(), _shares(lessons, row, right, (wanted >= _MARKS_END).float())


def _any_order(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss over all values of the key that are not said yet; right is any of them."""
    keys = len(wanted) // VALUES_OF_A_KEY
    values = wanted.view(keys, 1, VALUES_OF_A_KEY).expand(-1, VALUES_OF_A_KEY, -1).reshape(-1, VALUES_OF_A_KEY)
    left = torch.ones(VALUES_OF_A_KEY, VALUES_OF_A_KEY).triu().bool().repeat(keys, 1)     # at place j: value i >= j
    loss = logits.logsumexp(-1) - (logits.gather(1, values) * left).sum(1) / left.sum(1)
    right = ((logits.argmax(-1)[:, None] == values) & left).any(1).float()
    return loss, right


def _shares(lessons: Sequence[Lesson], row: Tensor, right: Tensor, counts: Tensor) -> list[tuple[str, float]]:
    hits = torch.zeros(len(lessons)).index_add_(0, row, right * counts).tolist()
    totals = torch.zeros(len(lessons)).index_add_(0, row, counts).tolist()
    return [(lesson.task, hit / total) for lesson, hit, total in zip(lessons, hits, totals, strict=True) if total]
