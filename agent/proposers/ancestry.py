"""Which known flows an idea names as what it was made of: by their names, and by the numbers of candidates."""
import re
from collections.abc import Sequence

from agent.answers import Found
from agent.proposers.base import Parent
from vortex import flows

NUMBER = r"(?:#|\bcandidate |\bparent |\bflow |\bfrom |\(from )0*{}\b"


def ancestors(found: Found, parents: Sequence[Parent]) -> tuple[Parent, ...]:
    """Those of `parents` that the idea names, in their order, each once."""
    text = words_of(found)
    named = [one for one in parents if _names(text, one.name) or (one.id is not None and _numbers(text, one.id))]
    return tuple({(one.id, one.name): one for one in named}.values())


def named(found: Found, parents: Sequence[Parent]) -> bool:
    """Whether the idea names any ancestor: one of `parents`, or a built-in algorithm."""
    text = words_of(found)
    known = (*flows.ALGORITHMS, *flows.CALIBRATED, *flows.LATENT)
    return bool(ancestors(found, parents)) or any(_names(text, name) for name in known)


def words_of(found: Found) -> str:
    """What the idea says of itself: its name, its text's first docstring, its mechanism."""
    doc = re.search(r'("""|\'\'\')(.*?)\1', found.source, re.DOTALL)
    claim = found.hypothesis
    return "\n".join([found.name, doc[2] if doc else "", claim.mechanism if claim else ""]).lower()


def _names(text: str, name: str) -> bool:
    """The root of a name as whole words: `quest` for `quest + value energy`; hyphens and underscores count alike."""
    words = re.split(r"[-_ ]+", name.split(" + ")[0].lower())
    return re.search(rf"(?<![a-z0-9]){'[-_ ]?'.join(map(re.escape, words))}(?![a-z0-9])", text) is not None


def _numbers(text: str, id: int) -> bool:
    return re.search(NUMBER.format(id), text) is not None
