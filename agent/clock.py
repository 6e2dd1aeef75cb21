"""Where a campaign's time goes, and how much of its budget is left."""
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Seconds by part. Parts may nest: a second counts for the innermost alone. `before_s` is what earlier runs took.

    Parts of the thread that made it count: what others do meanwhile is what that thread waits for.
    """

    def __init__(self, before_s: float = 0.0) -> None:
        self._parts: dict[str, float] = defaultdict(float)
        self._open = ["loop"]
        self._start = self._since = time.monotonic()
        self._before_s = before_s
        self._thread = threading.get_ident()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time until the block ends for `name`."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = time.monotonic()
        self._parts[self._open[-1]] += now - self._since
        self._since = now

    @property
    def run_s(self) -> float:
        """Wall clock of this run."""
        return time.monotonic() - self._start

    @property
    def total_s(self) -> float:
        """Wall clock of this run and the earlier ones."""
        return self._before_s + self.run_s

    def shares(self) -> Mapping[str, float]:
        """Seconds by part up to now."""
        self._turn()
        return dict(self._parts)
