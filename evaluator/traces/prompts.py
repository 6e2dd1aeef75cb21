"""What traces are captured of: prompts of tasks, in the driver, where the answers stay."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from evaluator.tasks.door import find_task
from evaluator.tasks.reader import Reader

SEED = 30_000                             # nobody else's: figures on traces are not taken on problems that are scored
WINDOW = 256                              # tokens of an answer that are followed

Steps = int | Literal["every"]            # how many decode steps of an answer are captured


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked: an id without the answer, the prompt's text, and how many tokens may be said."""

    id: str
    text: str
    max_new_tokens: int


def prompts_of(tasks: Sequence[str], seed: int, samples: int, reader: Reader, window: int = WINDOW) -> list[Prompt]:
    """The tasks take turns. Raises CampaignError, ModelError."""
    drawn = [find_task(task).samples(seed, samples, reader) for task in tasks]
    return [Prompt(id=one.id, text=one.prompt, max_new_tokens=min(window, one.max_new_tokens))
            for turn in zip_longest(*drawn) for one in turn if one is not None]


def fingerprints(tasks: Sequence[str]) -> Mapping[str, str]:
    """By the task's name."""
    return {task: find_task(task).fingerprint() for task in tasks}
