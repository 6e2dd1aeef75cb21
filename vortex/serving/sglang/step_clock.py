"""Seconds of decode steps, from one result to the next, as the scheduler that waits for them sees them."""
import time
from dataclasses import dataclass, field

MOST = 1 << 20                            # steps kept


@dataclass
class StepClock:
    """Steps that follow something else than a decode step are left out: they would count its time as well."""

    _steps: list[tuple[int, float]] = field(default_factory=list)
    _last: float | None = None

    def result(self, batch: int, decode: bool) -> None:
        """A batch's results are on the host."""
        now = time.perf_counter()
        if decode and self._last is not None and len(self._steps) < MOST:
            self._steps.append((batch, now - self._last))
        self._last = now if decode else None

    def idle(self) -> None:
        """Nothing runs: what comes next has waited."""
        self._last = None

    def told(self) -> list[tuple[int, float]]:
        return list(self._steps)
