"""Ctrl-C: once ends the campaign, or the server, after what is in flight, twice ends it now."""
import signal
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self


class Stopped(Exception):
    """The campaign was asked to stop; everything up to here is written."""


class Stop:
    """A context manager that listens while it is open. `told` is called at the first Ctrl-C, or any other of `signals`, from
    the main thread."""

    def __init__(self, told: Callable[[], None], signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        self._told = told
        self._signals = signals
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        return self._asked

    def check(self) -> None:
        """Called where it is safe to end. Raises Stopped."""
        if self._asked:
            raise Stopped

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._heard) for number in self._signals}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._told()
