"""Ctrl-C: once ends the campaign after what is in flight, twice ends it now."""
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Stopped(Exception):
    """The campaign was asked to stop; everything up to here is written."""


class Stop:
    """A context manager that listens while it is open. `told` is called at the first Ctrl-C, from the main thread."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._asked = False
        self._before: Any = None

    def check(self) -> None:
        """Called where it is safe to end. Raises Stopped."""
        if self._asked:
            raise Stopped

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._told()
