"""The embedded engine: a paged engine on transformers, for a CPU or one GPU, any Qwen3- or Llama-type checkpoint."""
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from vortex.budget import num_blocks
from vortex.compiler.cpu import dense_graph
from vortex.compiler.pipeline import compile as compile_flow
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Geometry, Graph
from vortex.language.parameters import without_data
from vortex.serving.checkpoint import ModelShape, ModelTokenizer, find_checkpoint, load_tokenizer
from vortex.serving.embedded.forced import ForcedContext, ForcedShape
from vortex.serving.embedded.generation import Generation
from vortex.serving.embedded.graphed import Graphs, graphs_of
from vortex.serving.embedded.pool import Allocator, Furnishing, Pool, PoolShape
from vortex.serving.embedded.prefix import PrefixCache
from vortex.serving.embedded.prompts import PromptCache
from vortex.serving.embedded.renewal import Renewal
from vortex.serving.embedded.replay import Replay, asked
from vortex.serving.embedded.runner import Runner, load_model, stop_tokens
from vortex.serving.embedded.scheduler import Scheduler, blocks_needed
from vortex.serving.embedded.steps import StaticModel, StaticSteps, fixed, replayable, width_for
from vortex.serving.engine import Completion, Path, Recorded, Recording, Request, StepTimes
from vortex.serving.layers import Layers, check_budgets, check_point, check_requests
from vortex.serving.recording import Recorder

GIB = 1 << 30
LEAST_ROOM = 64                           # tokens that may be decoded after a forced context before it is made anew
FLOWS = 4                                 # flows whose captured steps are kept: a duel swaps them for every measurement
Compile = Callable[[Graph, OperatingPoint], Program]
G = TypeVar("G", bound=Generation)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds an engine: requests that decode together, new prompt tokens a prefill, bytes of K and V in the pool
    and of prompts kept from one flow to the next."""

    max_batch: int = 32
    prefill_tokens: int = 8192
    kv_bytes: int = 4 * GIB
    prompt_bytes: int = GIB


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in memory; one of made-up weights has no tokenizer."""

    model: PreTrainedModel
    shape: ModelShape
    tokenizer: ModelTokenizer | None
    stop_tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What `use` chose."""

    graph: Graph
    point: OperatingPoint
    program: Program
    layers: Layers

    @property
    def furnishing(self) -> Furnishing:
        program = fixed(self.program)
        return Furnishing(graph=self.graph, point=self.point, layers=self.layers.select,
                          dtypes={f.name: program.field_dtype(f.name) for f in self.graph.fields} if program else {})


class EmbeddedEngine:
    """See vortex.serving.engine.Engine. One call at a time; tokens do not depend on the calls before.

    On a GPU decode steps are replayed as CUDA graphs; `graphs` says how else steps are repeated, `compiler` where Programs
    come from. Steps are made anew, one by one, where lists serve several steps (renew_every), where something is recorded,
    and for rotary embeddings that look at positions. A step whose longest context is under `dense_below` tokens attends
    densely; tokens may then depend on the company.
    """

    def __init__(self, device: str | None = None, limits: Limits | None = None, *, graphs: Graphs | None = None,
                 dense_below: int = 0, compiler: Compile | None = None) -> None:
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._limits = limits or Limits()
        self._graphs = graphs if graphs is not None else graphs_of(self._device)
        self._dense_below = dense_below
        self._compile = compiler if compiler is not None else self._compile_here
        self._forget()

    def _compile_here(self, graph: Graph, point: OperatingPoint) -> Program:
        return compile_flow(graph, point, self._device.type)

    def _forget(self) -> None:
        self._loaded: Loaded | None = None
        self._serving: Serving | None = None
        self._recorder: Recorder | None = None
        self._flows: OrderedDict[tuple[str, str], Serving] = OrderedDict()    # longest unused first
        self._prompts = PromptCache(self._limits.prompt_bytes)
        self._let_go()

    def _let_go(self) -> None:
        """Of pools, and of the captured steps that hold their tensors."""
        self._steps: OrderedDict[int, StaticSteps] = OrderedDict()    # by id of the Program, longest unused first
        self._pool: Pool | None = None
        self._forced: ForcedContext | None = None

    def start(self, model: str) -> None:
        self.stop()
        checkpoint = find_checkpoint(model)
        weights = load_model(checkpoint, self._device)
        self._loaded = Loaded(model=weights, shape=checkpoint.shape, tokenizer=load_tokenizer(checkpoint),
                              stop_tokens=stop_tokens(weights))

    def start_with(self, model: PreTrainedModel, shape: ModelShape) -> None:
        """A model that is in memory already, on the engine's device and made for its hook (random_model.py)."""
        self.stop()
        self._loaded = Loaded(model=model, shape=shape, tokenizer=None, stop_tokens=())

    def stop(self) -> None:
        self._forget()

    @property
    def tokenizer(self) -> ModelTokenizer:
        found = self._model.tokenizer
        if found is None:
            raise EngineError("this model has no tokenizer", hint="Give it ids, or start a model by its name.")
        return found

    def geometry(self, block_size: int) -> Geometry:
        return self._model.shape.geometry(block_size)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        shape, geometry = self._model.shape, self.geometry(point.block_size)
        if graph is not None and graph.geometry.latent:
            raise EngineError("the flow is for latent attention (MLA), and the embedded engine serves models with keys "
                              "and values of their own", hint="Write it as a vFlow, or take an engine that serves MLA.")
        if graph is not None and graph.geometry != geometry:
            raise EngineError(f"the flow was traced for {graph.geometry}, and this model has {geometry}",
                              hint="Trace it again for engine.geometry(point.block_size).")
        layers = check_point(point, graph, shape)
        self._serving = self._compiled(graph or dense_graph(geometry), point, layers)

    def _compiled(self, flow: Graph, point: OperatingPoint, layers: Layers) -> Serving:
        """Where steps are captured, the same Program for the same flow: its steps are captured already."""
        key = (without_data(flow).to_json(), point.hash)
        known = self._flows.pop(key, None) if self._graphs is not None else None
        found = known or Serving(graph=flow, point=point, program=self._compile(flow, point), layers=layers)
        if self._graphs is not None:
            self._flows[key] = found
            if len(self._flows) > FLOWS:
                _, oldest = self._flows.popitem(last=False)
                self._steps.pop(id(oldest.program), None)
        return found

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Raises EngineError, before anything runs, for a request that cannot be served."""
        return self._generation(requests, Generation).run() if requests else iter(())

    def replay(self, paths: Sequence[Path]) -> list[torch.Tensor]:
        """See Replays. Raises EngineError for a path of fewer than two tokens, or one that cannot be served."""
        if any(len(path.forced) < 2 for path in paths):
            raise EngineError("a path of fewer than two tokens has no decode step", hint="Give two or more forced tokens.")
        if not paths:
            return []
        found = self._generation(asked(paths), Replay)
        found.paths = {str(index): path for index, path in enumerate(paths)}
        for _ in found.run():
            pass
        return [torch.stack(found.logits[str(index)]) for index in range(len(paths))]

    def _generation(self, requests: Sequence[Request], kind: type[G]) -> G:
        """One call's generation, not yet begun; `requests` are one or more."""
        serving, size = self._flow, self._flow.point.block_size
        check_requests(requests, self._model.shape)
        decoded = [r for r in requests if r.max_new_tokens > 1]
        ends = [n for r in decoded for n in (num_blocks(len(r.tokens) + 1, size), blocks_needed(r, size))]
        check_budgets(serving.point, serving.layers, self._model.shape, ends)
        if self._forced is not None:
            self._let_go()
        needs = sorted((blocks_needed(r, size) for r in requests), reverse=True)
        blocks = self._capacity(needs)
        pool = self._pool_of(blocks)
        pool.furnish(serving.furnishing)
        allocator = Allocator(blocks)
        scheduler = Scheduler(
            waiting=deque(requests), allocator=allocator, block_size=size,
            # What state holds depends on a request's own steps: its blocks are nobody else's.
            prefix=None if serving.graph.states else PrefixCache(allocator),
            max_batch=self._limits.max_batch, prefill_tokens=self._limits.prefill_tokens,
        )
        return kind(runner=self._runner(pool, needs[0], self._limits.max_batch), scheduler=scheduler,
                    stop_tokens=self._model.stop_tokens, recorder=self._recorder)

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        """Steps have lengths context + 1, context + 2, ...; the filled context is kept until the shape changes."""
        if min(batch, context, steps) < 1:
            raise EngineError(f"cannot time {steps} steps of {batch} requests at {context} tokens",
                              hint="All three are 1 or more.")
        serving, shape = self._flow, ForcedShape(batch=batch, context=context, room=max(steps, LEAST_ROOM), seed=seed)
        blocks = shape.blocks(serving.point.block_size)
        pool, forced = self._pool_shape(batch * blocks + 1), self._forced
        if forced is None or (forced.shape, forced.pool.shape) != (shape, pool):
            forced = None
            self._let_go()
            self._forced = forced = ForcedContext(shape, pool, 1 if self._graphs is None else FLOWS)
        if serving.layers.select:
            forced.summarise(serving.furnishing, serving.program)
        return forced.time_steps(self._runner(forced.pool, blocks, batch), steps, self._recorder)

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        return self._recording(Recorder(what))

    @contextmanager
    def _recording(self, recorder: Recorder) -> Iterator[Recording]:
        before, self._recorder = self._recorder, recorder
        try:
            yield recorder.recording
        finally:
            self._recorder = before

    def _capacity(self, needs: Sequence[int]) -> int:
        """Blocks of the pool for requests that need so many, the largest first; follows from the requests alone."""
        most = self._limits.kv_bytes // self._pool_shape(1).block_bytes
        if needs[0] + 1 > most:
            raise EngineError(f"a request needs {needs[0]} blocks of KV, and {most - 1} fit into "
                              f"{self._limits.kv_bytes / GIB:.1f} GiB", hint="Shorten it, or raise Limits.kv_bytes.")
        return min(most, sum(needs[:self._limits.max_batch]) + 1)

    def _pool_shape(self, blocks: int) -> PoolShape:
        shape = self._model.shape
        return PoolShape(layers=shape.layers, kv_heads=shape.kv_heads, blocks=blocks, head_dim=shape.head_dim,
                         block_size=self._flow.point.block_size, dtype=self._model.model.dtype, device=self._device)

    def _pool_of(self, blocks: int) -> Pool:
        """At least `blocks` blocks; a pool that is large enough is used again."""
        wanted, have = self._pool_shape(blocks), self._pool
        if have is None or have.shape != replace(wanted, blocks=have.shape.blocks) or have.shape.blocks < blocks:
            have = None
            self._let_go()
            self._pool = have = Pool(wanted, 0 if self._graphs is None else FLOWS)
        return have

    def _runner(self, pool: Pool, blocks: int, batch: int) -> Runner:
        """For requests of up to so many blocks, and so many at a time."""
        serving = self._flow
        return Runner(model=self._model.model, pool=pool, program=serving.program, layers=serving.layers,
                      prompts=self._prompts, renewal=Renewal(serving.point), dense_below=self._dense_below,
                      steps=self._static(pool, blocks, batch))

    def _static(self, pool: Pool, blocks: int, batch: int) -> StaticSteps | None:
        """Steps that are repeated, where they can be; those of a flow that was used before are found again."""
        serving, model, graphs = self._flow, self._model.model, self._graphs
        program = fixed(serving.program)
        if graphs is None or program is None or serving.point.renew_every > 1 or not replayable(model):
            return None
        found = self._steps.get(id(program))
        if found is None or not found.serves(pool, blocks, batch):
            what = StaticModel(model=model, pool=pool, program=program, layers=serving.layers, blocks=width_for(blocks),
                               dense_below=self._dense_below)
            found = self._steps[id(program)] = StaticSteps(what, graphs, batch)
        return found

    @property
    def _model(self) -> Loaded:
        if self._loaded is None:
            raise EngineError("the engine has no model", hint="Call start(model) first.")
        return self._loaded

    @property
    def _flow(self) -> Serving:
        if self._serving is None:
            raise EngineError("the engine has no operating point", hint="Call use(graph, point) first.")
        return self._serving
