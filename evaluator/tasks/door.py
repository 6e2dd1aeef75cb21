"""Every task by the name that a campaign calls it: a preset of the probe, or FAMILY:REST for the families below.

A family is one module with a function from what stands after the colon to a TaskSet; adding one adds a line here.
"""
import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

from evaluator.tasks.registry import preset
from evaluator.tasks.task import TaskSet
from vortex.errors import CampaignError

FAMILIES: Mapping[str, str] = {
    "math": "evaluator.tasks.maths",
    "file": "evaluator.tasks.own",
    "ruler": "evaluator.tasks.ruler.family",
    "ruler-faithful": "evaluator.tasks.ruler.faithful",
}


@lru_cache(maxsize=256)
def find_task(name: str) -> TaskSet:
    """Raises CampaignError naming the nearest task."""
    family, colon, rest = name.partition(":")
    if not colon:
        return preset(name)
    if family not in FAMILIES:
        raise CampaignError(f"there is no family of tasks {family!r}", hint=f"Families: {', '.join(FAMILIES)}.")
    found: TaskSet = importlib.import_module(FAMILIES[family]).find(rest)
    return found


def same_problems(names: Sequence[str]) -> tuple[str, str] | None:
    """Two of the names that stand for the same problems, as far as can be told without a network. Raises CampaignError."""
    known: dict[str, str] = {}
    for name in names:
        contents = find_task(name).contents()
        if contents and contents in known:
            return known[contents], name
        known[contents] = name
    return None
