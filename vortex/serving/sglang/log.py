"""A recording inside a scheduler: no larger than it may be, under the names that requests have outside."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vortex.errors import EngineError
from vortex.serving.engine import Recorded
from vortex.serving.recording import Moment, Recorder
from vortex.serving.sglang.seeds import request_of

MOST_BYTES = 4 << 30
INT_BYTES = 32                            # of a number in a list, as Python keeps it


class Log(Recorder):
    """Stops growing, and is refused when it is saved, where it would hold more than `most` bytes."""

    def __init__(self, what: Recorded, most: int = MOST_BYTES) -> None:
        super().__init__(what)
        self.bytes = 0
        self._most = most

    def note(self, moment: Moment) -> None:
        if self.bytes <= self._most:
            super().note(moment)
            self.bytes += size_of(self.recording.events[-1])

    def save(self, path: Path) -> int:
        """Writes the events for torch.load; how many. Raises EngineError."""
        if self.bytes > self._most:
            raise EngineError(f"the recording grew past {self._most:,} bytes and is dropped",
                              hint="Record fewer steps, shorter requests, or mass in place of qkv.")
        events = [{**event, "requests": list(map(request_of, event["requests"]))} for event in self.recording.events]
        try:
            torch.save(events, path)
        except (OSError, RuntimeError) as error:
            raise EngineError(f"cannot write {path}: {error}") from error
        return len(events)


def size_of(value: Any) -> int:
    """Bytes of what an event holds, about."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, list):
        return INT_BYTES * len(value) if value and isinstance(value[0], int) else sum(map(size_of, value))
    return INT_BYTES
