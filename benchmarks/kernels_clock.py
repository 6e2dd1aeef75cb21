"""Times of launches inside CUDA graphs; where nothing is to be timed (a dry run) every form is run once and has no times."""
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from triton.errors import TritonError

Call = Callable[[], object]
CALLS = 24                                # of one graph, so that its launch is a small share
GRAPH_S = 4e-3                            # what a graph may take, where one call takes longer than its share of that
COPY_BYTES = 4 << 30
REFUSALS = (RuntimeError, ValueError, TypeError, ImportError, NotImplementedError, AssertionError, AttributeError,
            TritonError)


@dataclass(frozen=True)
class Times:
    """Seconds of one call, a figure a round; none in a dry run. `refused` says why a form of others did not run."""

    seconds: tuple[float, ...] = ()
    refused: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else 0.0

    def told(self) -> dict[str, Any]:
        """Median and quartiles in microseconds."""
        if self.refused:
            return {"refused": self.refused}
        if not self.seconds:
            return {}
        low, middle, high = statistics.quantiles(self.seconds, n=4) if len(self.seconds) > 1 else [self.seconds[0]] * 3
        return {"median_us": 1e6 * middle, "low_us": 1e6 * low, "high_us": 1e6 * high}


class DryClock:
    """Runs each call once: the script itself is tested so."""

    def compare(self, forms: Mapping[str, Sequence[Call]], outside: Sequence[str] = ()) -> dict[str, Times]:
        found = {}
        for name, calls in forms.items():
            try:
                calls[0]()
                found[name] = Times()
            except REFUSALS as error:
                if name not in outside:
                    raise
                found[name] = Times(refused=first_line(error))
        return found

    def bandwidth(self) -> float:
        return 0.0


class GraphClock:
    """Forms of one thing are captured, then replayed in turn, round by round: what slows the chip for a while slows all."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.stream = torch.cuda.Stream()

    def compare(self, forms: Mapping[str, Sequence[Call]], outside: Sequence[str] = ()) -> dict[str, Times]:
        """`forms`: calls that do the same on different data, so that none finds its own in the cache. A form of `outside`
        may refuse; one of ours that does raises."""
        graphs: dict[str, tuple[torch.cuda.CUDAGraph, int]] = {}
        found: dict[str, Times] = {}
        for name, calls in forms.items():
            try:
                graphs[name] = self._captured(calls)
            except REFUSALS as error:
                if name not in outside:
                    raise
                found[name] = Times(refused=first_line(error))
                torch.cuda.synchronize()
        seconds: dict[str, list[float]] = {name: [] for name in graphs}
        for turn in range(self.rounds + 1):
            order = [*graphs][turn % len(graphs):] + [*graphs][:turn % len(graphs)] if graphs else []
            for name in order:
                took = self._replayed(*graphs[name])
                if turn:                                                  # the first round warms
                    seconds[name].append(took)
        return found | {name: Times(tuple(values)) for name, values in seconds.items()}

    def _captured(self, calls: Sequence[Call]) -> tuple[torch.cuda.CUDAGraph, int]:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(2):                                            # built and warm before it is captured
                calls[0]()
            torch.cuda.synchronize()
            began = time.perf_counter()
            calls[-1]()
            torch.cuda.synchronize()
            each = time.perf_counter() - began
        count = max(2, min(max(CALLS, len(calls)), int(GRAPH_S / each)))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            for at in range(count):
                calls[at % len(calls)]()
        torch.cuda.synchronize()
        return graph, count

    def _replayed(self, graph: torch.cuda.CUDAGraph, count: int) -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3 / count

    def bandwidth(self) -> float:
        """Bytes a second of a copy within the chip's memory: those read and those written."""
        source = torch.empty(COPY_BYTES // 2, dtype=torch.uint8, device="cuda").fill_(1)
        target = torch.empty_like(source)
        times = self.compare({"copy": [lambda: target.copy_(source)]})["copy"]
        return 2 * source.numel() / times.median


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]
