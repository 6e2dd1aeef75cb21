"""A request's seed, for flows that draw at random: SGLang knows requests by name alone, so the name carries it."""
import hashlib
import re

_NAMED = re.compile(r"vortex:(-?\d+):")


def named(request_id: str, seed: int) -> str:
    """The name under which SGLang knows a request."""
    return f"vortex:{seed}:{request_id}"


def seed_of(name: str) -> int:
    """The seed in a name; of other names a number that is always the same."""
    found = _NAMED.match(name)
    return int(found[1]) if found else int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())


def request_of(name: str) -> str:
    """The id in a name; other names are ids."""
    return _NAMED.sub("", name, count=1)
