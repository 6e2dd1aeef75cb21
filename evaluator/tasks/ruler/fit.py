"""How many units of haystack make a prompt of a given length."""
from collections.abc import Callable
from dataclasses import dataclass

from evaluator.tasks.ruler.draft import Steps
from vortex.errors import CampaignError

Tokens = Callable[[int], int]


@dataclass(frozen=True)
class Fit:
    """A number of units, and the tokens that one more adds."""

    units: int
    per_unit: float


def largest(tokens: Tokens, limit: int, least: int) -> Fit:
    """The most units whose prompt has at most `limit` tokens, where `tokens` rises with the units.

    Raises CampaignError when `least` units are too many.
    """
    first = tokens(least)
    if first > limit:
        raise CampaignError(f"the shortest prompt has {first} tokens and its answer; {limit} is the room for it",
                            hint="Ask for a longer text.")
    per_unit = max((tokens(2 * least) - first) / least, 1e-3)
    low, high = least, 2 * least + int((limit - first) / per_unit)
    while tokens(high) <= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if tokens(middle) <= limit:
            low = middle
        else:
            high = middle
    return Fit(low, per_unit)


def published(tokens: Tokens, limit: int, steps: Steps) -> Fit:
    """The search of the published generator, which never asks for fewer units than its increment."""
    first = steps.first or steps.increment
    per_unit = tokens(first) / first
    low, high = steps.increment, max(int(limit / per_unit) * steps.factor, 2 * steps.increment)
    found = steps.increment
    while low <= high:
        middle = (low + high) // 2
        if tokens(middle) <= limit:
            found, low = middle, middle + 1
        else:
            high = middle - 1
    return Fit(found, per_unit)


def climbed(tokens: Tokens, limit: int, steps: Steps) -> Fit:
    """The search of the published generator for coded words: up from its first look by increments, back by one."""
    units = steps.first
    while tokens(units) < limit:
        units += steps.increment
    return Fit(units - steps.increment, limit / units)


def settled(tokens: Tokens, limit: int, fit: Fit, least: int) -> int:
    """The units of one sample: those that fit a typical one, moved by what this one has too many or too few tokens.

    Raises CampaignError when not even `least` fit.
    """
    units = fit.units
    spare = limit - tokens(units)
    if spare >= fit.per_unit:
        units += int(spare / fit.per_unit)
    while (spare := limit - tokens(units)) < 0:
        if units == least:
            raise CampaignError(f"a prompt of {least} units is {-spare} tokens too long", hint="Ask for a longer text.")
        units = max(least, units - max(1, int(-spare / fit.per_unit)))
    return units


def shrunk(tokens: Tokens, limit: int, fit: Fit, increment: int) -> int:
    """As the published generator does it: by whole increments. Where that one goes on for ever, raises CampaignError."""
    units = fit.units
    while tokens(units) > limit:
        if units <= increment:
            raise CampaignError(f"a prompt of {units} units, the fewest that the published generator makes, is too long",
                                hint="Ask for a longer text, or use ruler: in place of ruler-faithful:.")
        units -= increment
    return units
