"""Which problems may be seen when: the seed says what a run is for, and so which part of a fixed data set it draws from.

Seeds of the search lie under RANGE, and those of the sealed set from 2 RANGE to 3 RANGE; all others are confirmation's.
So no problem that is generated from a seed is met twice. A data set of a hundred problems or more is divided among the
three by a keyed hash of each problem's text; a smaller one has too few, and is asked whole again with fresh draws of the
model.
"""
import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeVar

from vortex.errors import CampaignError

Part: TypeAlias = Literal["search", "confirm", "sealed"]
RANGE = 1 << 32                       # seeds of a part
DIVIDED_FROM = 100                    # problems
SEALED_AT = 2
_SHARES: dict[Part, int] = {"search": 128, "confirm": 102, "sealed": 26}       # of the 256 values of a byte
WHOLE: Literal["whole"] = "whole"     # of a data set that is too small to be divided
_KEY = b"vortex parts 1"
Item = TypeVar("Item")


def part_of_seed(seed: int) -> Part:
    """See above. Raises CampaignError for a negative one."""
    if seed < 0:
        raise CampaignError(f"{seed} is no seed", hint=f"Seeds of a search are 0 to {RANGE - 1}.")
    return "search" if seed < RANGE else "sealed" if seed // RANGE == SEALED_AT else "confirm"


def seed_for(part: Part, secret: int) -> int:
    """The seed of a part that a secret number stands for."""
    return {"search": 0, "confirm": 1, "sealed": SEALED_AT}[part] * RANGE + secret % RANGE


def part_of_problem(text: str) -> Part:
    """Of a problem in a data set that is divided: half search, two fifths confirm, a tenth sealed."""
    place = hashlib.blake2b(text.encode(), digest_size=1, key=_KEY).digest()[0]
    for part, share in _SHARES.items():
        place -= share
        if place < 0:
            return part
    raise AssertionError("the shares make a byte")


def drawn_from(items: Sequence[Item], texts: Sequence[str], seed: int) -> tuple[list[Item], Part | Literal["whole"]]:
    """The items that a run with this seed may draw from, and which part of the whole they are."""
    part = part_of_seed(seed)
    if len(items) < DIVIDED_FROM:
        return list(items), WHOLE
    return [item for item, text in zip(items, texts, strict=True) if part_of_problem(text) == part], part
