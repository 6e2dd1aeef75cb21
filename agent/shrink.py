"""Evidence given up step by step, the least telling first, until a prompt fits its room."""
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from agent.told import Told

Step: TypeAlias = Callable[[Told], Told | None]     # the same with one thing less; None: there is none left to give up


def ever_less(told: Told) -> list[Told]:
    """`told`, and then each time one thing less, until its evidence is gone."""
    found = [told]
    for step in ORDER:
        while (less := step(found[-1])) is not None:
            found.append(less)
    return found


def _without(name: str, least: int) -> Step:
    """The last of a sequence goes, down to `least`."""
    def step(told: Told) -> Told | None:
        kept = getattr(told, name)
        return replace(told, **{name: kept[:-1]}) if len(kept) > least else None
    return step


def _notes(least: int) -> Step:
    """Of the kind that has the most notes the last one goes; what a person asked for stays longest."""
    def step(told: Told) -> Told | None:
        kinds = sorted((kind for kind, texts in told.notes.items() if len(texts) > least),
                       key=lambda kind: (kind == "steer", -len(told.notes[kind])))
        return replace(told, notes={**told.notes, kinds[0]: told.notes[kinds[0]][:-1]}) if kinds else None
    return step


def _sources(most: int) -> Step:
    def step(told: Told) -> Told | None:
        if all(len(parent.source) <= most for parent in told.parents):
            return None
        return replace(told, parents=tuple(replace(parent, source=parent.source[:most]) for parent in told.parents))
    return step


def _goal(most: int) -> Step:
    return lambda told: replace(told, goal=told.goal[:most]) if len(told.goal) > most else None


# What is plenty goes first, then what is least missed. Two parents, which a merge needs, stay nearly to the end.
ORDER: tuple[Step, ...] = (
    _without("failures", 6), _without("siblings", 12), _notes(6), _without("frontier", 12), _without("parents", 4),
    _without("failures", 3), _without("siblings", 6), _without("parents", 2), _notes(2), _without("frontier", 6),
    _without("siblings", 3), _notes(1), _sources(1_500), _without("failures", 1), _without("siblings", 2),
    _without("frontier", 3), _goal(400), _sources(1_000), _without("failures", 0), _without("siblings", 0), _notes(0),
    _without("frontier", 0), _without("controls", 0), _without("parents", 0),
)
