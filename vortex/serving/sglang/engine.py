"""SGLang as an engine: a process of its own holds it, in the Python that has it, and this drives that process."""
import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vortex.budget import num_blocks
from vortex.config import OperatingPoint
from vortex.errors import EngineError, VortexError
from vortex.ir import Geometry, Graph
from vortex.serving.checkpoint import Checkpoint, ModelTokenizer, find_checkpoint, load_tokenizer
from vortex.serving.engine import Completion, Recorded, Recording, Request, StepTimes
from vortex.serving.layers import Layers, check_budgets, check_point, check_requests
from vortex.serving.sglang.control import Answer, Control, addresses
from vortex.serving.sglang.options import SglangOptions
from vortex.serving.sglang.process import HostProcess, lives, new_folder
from vortex.serving.sglang.python import find_python
from vortex.serving.sglang.recordings import read_events
from vortex.serving.sglang.settings import Settings

LISTEN_S = 20.0
COMMAND_S = 600.0                         # for the schedulers to do what they are asked
SPARE_STEPS = 4                           # of a forced decode: those in which some requests have not begun
FIRST_TOKEN = 3                           # ids before it may mean something


@dataclass(frozen=True, kw_only=True)
class Running:
    """A host and what it said of itself: `tokens` the KV pool holds, `context` tokens the longest request."""

    host: HostProcess
    page: int
    version: str
    tokens: int
    context: int
    deterministic: bool


class SglangEngine:
    """See vortex.serving.engine.Engine. One call at a time.

    Dense control and flows are served by one running SGLang, whose attention backend is ours. `use` starts it again, and loads
    weights again, only for a point whose blocks do not fit its pages, and where it has died.
    """

    def __init__(self, options: SglangOptions | None = None) -> None:
        self.options = options or SglangOptions()
        self._forget()

    @classmethod
    def on(cls, gpus: int) -> Self:
        """An engine whose model is divided over so many GPUs."""
        return cls(SglangOptions(tp_size=gpus))

    def _forget(self) -> None:
        self._checkpoint: Checkpoint | None = None
        self._tokenizer: ModelTokenizer | None = None
        self._running: Running | None = None
        self._point: OperatingPoint | None = None
        self._layers = Layers()
        self._generating: Generator[Completion, None, None] | None = None

    def start(self, model: str) -> None:
        """Raises ModelError, MissingExtra, EngineError."""
        self.stop()
        checkpoint = find_checkpoint(model, "sglang")
        self._boot(checkpoint, None, OperatingPoint(model=model, engine="sglang"))
        self._checkpoint = checkpoint

    def stop(self) -> None:
        """Afterwards no process of SGLang's is alive."""
        running = self._running
        self._forget()
        if running is not None:
            running.host.stop()

    @property
    def tokenizer(self) -> ModelTokenizer:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._model)
        return self._tokenizer

    def geometry(self, block_size: int) -> Geometry:
        return self._model.shape.geometry(block_size)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        geometry, running = self.geometry(point.block_size), self._started
        if graph is not None and graph.geometry != geometry:
            raise EngineError(f"the flow was traced for {graph.geometry}, and this model has {geometry}",
                              hint="Trace it again for engine.geometry(point.block_size).")
        layers = check_point(point, graph, self._model.shape)
        self._give_up()
        if not running.host.alive or running.page % point.block_size or point.page_size not in (None, running.page):
            running.host.stop()
            self._boot(self._model, graph, point)
        else:
            self.ask({"do": "use", "graph": _json(graph), "point": point.model_dump()})
        self._point, self._layers = point, layers

    def _boot(self, checkpoint: Checkpoint, graph: Graph | None, point: OperatingPoint) -> None:
        self._running = None
        python, folder = find_python(), new_folder()
        page = self.options.page(point.block_size, point.page_size)
        host = HostProcess(python.path, folder, self.options.arguments(checkpoint, page),
                           Settings(graph=_json(graph), point=point, reserve=self.options.reserve).put(folder))
        try:
            self._running = Running(host=host, page=page, **host.ready())
            self._await_schedulers(folder)
        finally:
            if self._running is None:
                host.stop()

    def _await_schedulers(self, folder: Path) -> None:
        """They begin to listen a moment after SGLang says that it is ready."""
        until = time.monotonic() + LISTEN_S
        while not addresses(folder) and time.monotonic() < until:
            time.sleep(LISTEN_S / 1000)

    def ask(self, request: Mapping[str, Any]) -> list[Answer]:
        """A command for the schedulers (control.py), answered by each rank. Raises EngineError, and what they refuse."""
        host = self._started.host
        try:
            return Control(host.folder).ask(request, COMMAND_S)
        except EngineError:
            if host.alive and all(lives(address.pid) for address in addresses(host.folder)):
                raise
            raise host.gone() from None

    def health(self) -> Answer:
        """What the first rank is busy with. Raises EngineError where SGLang does not live any more."""
        return self.ask({"do": "health"})[0]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Raises EngineError, before anything runs, for a request that cannot be served.

        Batches are SGLang's to make: tokens may depend on the company, by the order of float operations.
        """
        shape, point = self._model.shape, self._served
        self._give_up()
        check_requests(requests, shape)
        self._check_room(requests)
        ends = [num_blocks(n, point.block_size) for r in requests if r.max_new_tokens > 1
                for n in (len(r.tokens) + 1, len(r.tokens) + r.max_new_tokens - 1)]
        check_budgets(point, self._layers, shape, ends)
        self._generating = self._completions(self._started.host, requests)
        return self._generating

    def _check_room(self, requests: Sequence[Request]) -> None:
        running = self._started
        room = min(running.context, running.tokens)
        for request in requests:
            wanted = len(request.tokens) + request.max_new_tokens
            if wanted > room:
                raise EngineError(f"request {request.id!r} needs {wanted} tokens, and {room} fit",
                                  hint="The model's context and SglangOptions.max_total_tokens bound a request.")
            if request.temperature > 0 and not running.deterministic:
                raise EngineError(f"request {request.id!r} draws its tokens, and seeds hold in SGLang's deterministic mode only",
                                  hint="Take SglangOptions(deterministic=True), or temperature 0.")

    def _completions(self, host: HostProcess, requests: Sequence[Request]) -> Generator[Completion, None, None]:
        number = host.send("generate", requests=[asdict(request) for request in requests])
        left = len(requests)
        try:
            for answer in host.answers(number):
                left -= 1
                yield Completion(**{**answer, "tokens": tuple(answer["tokens"])})
        finally:
            if left and host.alive:       # whoever asked has heard enough; that SGLang ended is for the next to hear
                with suppress(VortexError):
                    host.ask("drop", number=number)

    def _give_up(self) -> None:
        """What is still generating."""
        if self._generating is not None:
            self._generating.close()
        self._generating = None

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        """Steps in which the whole batch decodes, as the scheduler sees them, from lengths of about `context` on.

        Prompts are drawn from `seed` and prefilled once: later calls, whichever flow is served, find them in the prefix
        cache, where there is one.
        """
        if min(batch, context, steps) < 1:
            raise EngineError(f"cannot time {steps} steps of {batch} requests at {context} tokens",
                              hint="All three are 1 or more.")
        requests = self._forced(batch, context, steps + SPARE_STEPS, seed)
        self._check_together(batch, context + steps + SPARE_STEPS)
        self.ask({"do": "step-times", "on": True})
        try:
            list(self.generate(requests))
        finally:
            told = self.ask({"do": "step-times", "on": False})[0]["steps"]
        seconds = [taken for size, taken in told if size == batch][:steps]
        if len(seconds) < steps:
            raise EngineError(f"SGLang decoded {batch} requests of {context} tokens together in {len(seconds)} steps only, not "
                              f"in {steps}", hint="They may not fit its KV pool: SglangOptions.max_total_tokens.")
        return StepTimes(batch=batch, context=context, seconds=tuple(seconds))

    def _forced(self, batch: int, context: int, tokens: int, seed: int) -> list[Request]:
        drawn = random.Random(seed)
        ids = range(FIRST_TOKEN, self._model.shape.vocabulary)
        return [Request(id=f"forced-{row}", tokens=tuple(drawn.choices(ids, k=context)), max_new_tokens=tokens, seed=seed + row,
                        ignore_eos=True) for row in range(batch)]

    def _check_together(self, batch: int, tokens: int) -> None:
        running = self._started
        pages = batch * -(-tokens // running.page)
        if pages * running.page > running.tokens or batch > self.options.max_running_requests:
            raise EngineError(f"{batch} requests of {tokens} tokens do not run together: the KV pool holds {running.tokens} "
                              f"tokens, and {self.options.max_running_requests} requests may run",
                              hint="SglangOptions: max_total_tokens, max_running_requests.")

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        """Its events are there once it is closed."""
        return self._recording(what)

    @contextmanager
    def _recording(self, what: Recorded) -> Iterator[Recording]:
        recording, path = Recording(), self._started.host.folder / "recording"
        self.ask({"do": "record", "what": what})
        try:
            yield recording
        finally:
            self._give_up()
            answers = self.ask({"do": "stop-record", "path": str(path)})
        files = [Path(answer["path"]) for answer in answers]
        # Ranks beyond the model's kv heads repeat those of others.
        recording.events += read_events(files[::max(1, len(files) // self._model.shape.kv_heads)])
        for file in files:
            file.unlink()

    @property
    def _model(self) -> Checkpoint:
        if self._checkpoint is None:
            raise EngineError("the engine has no model", hint="Call start(model) first.")
        return self._checkpoint

    @property
    def _started(self) -> Running:
        if self._running is None:
            raise EngineError("SGLang does not run", hint="Call start(model) first.")
        return self._running

    @property
    def _served(self) -> OperatingPoint:
        if self._point is None:
            raise EngineError("the engine has no operating point", hint="Call use(graph, point) first.")
        return self._point


def _json(graph: Graph | None) -> str | None:
    return None if graph is None else graph.to_json()
