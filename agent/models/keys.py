"""Keys of providers: from the environment, and out of it while a command runs, so that no process it starts inherits them."""
import os
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
_apart: dict[str, str] = {}


def key(name: str) -> str:
    """The key under this name, or ""."""
    return os.environ.get(name, _apart.get(name, "")).strip()


@contextmanager
def kept_apart() -> Iterator[None]:
    """Takes the keys out of the environment until the block ends; `key` knows them all the while."""
    before = dict(_apart)
    taken = {name: os.environ.pop(name) for name in NAMES if name in os.environ}
    _apart.update(taken)
    try:
        yield
    finally:
        _apart.clear()
        _apart.update(before)
        os.environ.update(taken)
