"""How a decode step over fixed tensors is done again: replayed as a CUDA graph, or simply called once more."""
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

import torch

from vortex.errors import EngineError

WARM_UPS = 2                              # kernels are compiled and libraries take their workspaces before a capture


class Answer(NamedTuple):
    """What a step says of each request: `logits` [B, V], and `tokens` int64 [B], the likeliest of each."""

    logits: torch.Tensor
    tokens: torch.Tensor


Work: TypeAlias = Callable[[], Answer]


def answer(logits: torch.Tensor) -> Answer:
    return Answer(logits, logits.argmax(dim=-1))


class Graphs(Protocol):
    def capture(self, work: Work) -> Work:
        """`work` made repeatable: it may be run at once, and reads and writes the same tensors every time.

        An answer holds until the same work is done again. Raises EngineError where `work` cannot be captured.
        """


class Repeated:
    """Calls the work again: on a CPU, or to see on a GPU what graphs are worth."""

    def capture(self, work: Work) -> Work:
        return work


class CudaGraphs:
    """One memory pool for all graphs: they never run at the same time, and the answers of each stay alive."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch
        self._pool = torch.cuda.graph_pool_handle()
        self._alive: WeakSet[torch.cuda.CUDAGraph] = WeakSet()

    def capture(self, work: Work) -> Work:
        if not self._alive:               # a pool dies with the last graph that used it
            self._pool = torch.cuda.graph_pool_handle()
        try:
            self._warm(work)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                found = work()
            self._alive.add(graph)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise EngineError(f"a decode step cannot be captured in a CUDA graph: {str(error).splitlines()[0]}",
                              hint="EmbeddedEngine(graphs=Repeated()) decodes without graphs.") from error

        def replay() -> Answer:
            graph.replay()
            return found

        return replay

    def _warm(self, work: Work) -> None:
        """On the stream of the capture, so that what libraries keep by stream is there."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                work()
        current.wait_stream(self._stream)


def graphs_of(device: torch.device) -> Graphs | None:
    """What `device` repeats steps by; None: every step is made anew."""
    return CudaGraphs(device) if device.type == "cuda" else None
