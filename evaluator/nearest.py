"""What was meant by a name that does not exist."""
from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names)}."
