"""SGLang as an engine: a process of its own holds it, in the Python that has it, and this drives that process."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from vortex.budget import num_blocks
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Geometry, Graph
from vortex.serving.checkpoint import Checkpoint, ModelTokenizer, find_checkpoint, load_tokenizer
from vortex.serving.engine import Completion, Recorded, Recording, Request, StepTimes
from vortex.serving.layers import Layers, check_budgets, check_point, check_requests
from vortex.serving.sglang.process import HostProcess, new_folder
from vortex.serving.sglang.python import find_python
from vortex.serving.sglang.settings import Settings

PAGE = 16                                 # tokens


@dataclass(frozen=True, kw_only=True)
class SglangOptions:
    """SGLang's own arguments; None leaves one to SGLang, and to what a CPU wants (float32, no CUDA graphs).

    `page_size` holds for points that name none. `deterministic` is SGLang's batch-invariant mode, which seeds of draws
    need. `more` is given to SGLang as it is.
    """

    page_size: int = PAGE
    max_running_requests: int = 32
    max_total_tokens: int | None = None
    chunked_prefill_size: int | None = None
    overlap: bool = True
    deterministic: bool = False
    tp_size: int = 1
    dtype: str | None = None
    mem_fraction: float | None = None
    context_tokens: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, path: str, page: int) -> dict[str, Any]:
        """Of sglang.Engine."""
        return {"model_path": path, "page_size": page, "max_running_requests": self.max_running_requests,
                "max_total_tokens": self.max_total_tokens, "chunked_prefill_size": self.chunked_prefill_size,
                "disable_overlap_schedule": not self.overlap, "enable_deterministic_inference": self.deterministic,
                "tp_size": self.tp_size, "dtype": self.dtype, "mem_fraction_static": self.mem_fraction,
                "context_length": self.context_tokens, **self.more}


@dataclass(frozen=True, kw_only=True)
class Started:
    """`tokens` is what the KV pool holds, `context` the longest request."""

    host: HostProcess
    page: int
    tokens: int
    context: int


class SglangEngine:
    """See vortex.serving.engine.Engine. One call at a time.

    Dense control and flows are served by one running SGLang and its backend `vortex`.
    """

    def __init__(self, options: SglangOptions | None = None) -> None:
        self._options = options or SglangOptions()
        self._python = ""
        self._checkpoint: Checkpoint | None = None
        self._tokenizer: ModelTokenizer | None = None
        self._started: Started | None = None
        self._point: OperatingPoint | None = None
        self._layers = Layers()
        self._generating: Iterator[Completion] | None = None

    def start(self, model: str) -> None:
        self.stop()
        self._python = find_python().path
        self._checkpoint = find_checkpoint(model)

    def stop(self) -> None:
        self._point = self._checkpoint = self._tokenizer = None
        self._halt()

    def _halt(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            started.host.stop()

    @property
    def tokenizer(self) -> ModelTokenizer:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._model)
        return self._tokenizer

    def geometry(self, block_size: int) -> Geometry:
        return self._model.shape.geometry(block_size)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        shape, geometry = self._model.shape, self.geometry(point.block_size)
        if graph is not None and graph.geometry != geometry:
            raise EngineError(f"the flow was traced for {graph.geometry}, and this model has {geometry}",
                              hint="Trace it again for engine.geometry(point.block_size).")
        layers = check_point(point, graph, shape)
        self._halt()
        self._boot(graph, point)
        self._point, self._layers = point, layers

    def _boot(self, graph: Graph | None, point: OperatingPoint) -> None:
        folder = new_folder()
        page = point.page_size or max(point.block_size, self._options.page_size)
        host = HostProcess(self._python, folder, self._options.arguments(self._model.path, page),
                           Settings(graph=None if graph is None else graph.to_json(), point=point).put(folder))
        try:
            facts = host.ready()
        except BaseException:
            host.stop()
            raise
        self._started = Started(host=host, page=page, tokens=facts["tokens"], context=facts["context"])

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Raises EngineError, before anything runs, for a request that cannot be served.

        Batches are SGLang's to make: tokens may depend on the company, by the order of float operations.
        """
        self._quiet()
        started, point = self._running, self._served
        shape = self._model.shape
        check_requests(requests, shape)
        self._check_room(requests, started)
        ends = [num_blocks(n, point.block_size) for r in requests if r.max_new_tokens > 1
                for n in (len(r.tokens) + 1, len(r.tokens) + r.max_new_tokens - 1)]
        check_budgets(point, self._layers, shape, ends)
        self._generating = self._completions(started.host, requests) if requests else iter(())
        return self._generating

    def _check_room(self, requests: Sequence[Request], started: Started) -> None:
        room = min(started.context, started.tokens)
        for request in requests:
            if len(request.tokens) + request.max_new_tokens > room:
                raise EngineError(f"request {request.id!r} needs {len(request.tokens) + request.max_new_tokens} tokens, and "
                                  f"{room} fit", hint="The model's context and SglangOptions.max_total_tokens bound requests.")
            if request.temperature > 0 and not self._options.deterministic:
                raise EngineError(f"request {request.id!r} draws its tokens, and seeds hold in SGLang's deterministic mode alone",
                                  hint="SglangOptions(deterministic=True), or temperature 0.")

    def _completions(self, host: HostProcess, requests: Sequence[Request]) -> Iterator[Completion]:
        number = host.send("generate", requests=[asdict(request) for request in requests])
        left = len(requests)
        try:
            for answer in host.answers(number):
                left -= 1
                yield Completion(**{**answer, "tokens": tuple(answer["tokens"])})
        finally:
            if left and host.alive:       # whoever asked has heard enough
                host.ask("drop", number=number)

    def _quiet(self) -> None:
        """Gives up what is still generating."""
        generating, self._generating = self._generating, None
        if generating is not None and hasattr(generating, "close"):
            generating.close()

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        raise NotImplementedError

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        raise NotImplementedError

    @property
    def _model(self) -> Checkpoint:
        if self._checkpoint is None:
            raise EngineError("the engine has no model", hint="Call start(model) first.")
        return self._checkpoint

    @property
    def _running(self) -> Started:
        if self._started is None:
            raise EngineError("the engine has no operating point", hint="Call use(graph, point) first.")
        return self._started

    @property
    def _served(self) -> OperatingPoint:
        assert self._point is not None, "what runs, serves"
        return self._point
