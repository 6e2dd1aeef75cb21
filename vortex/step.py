"""One decode step of one layer on tensors at hand: which blocks are attended, and what attention gives.

The compiled Program runs over a small pool whose pages (point.page_size) do not lie in order, as an engine's do not.
Letters of shapes: B requests, H kv heads, G query heads a kv head, D channels, T tokens of a request, S tokens a block.
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import torch

from vortex.api import LoadedFlow, load_flow
from vortex.budget import num_blocks
from vortex.compiler.cpu import DTYPES
from vortex.compiler.kept import Kept, carry, keep
from vortex.compiler.pipeline import compile as compile_flow
from vortex.compiler.program import Lists, Plan, Program
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, EngineError
from vortex.inputs import Inputs, Tensor, checked
from vortex.ir import Field, Geometry, Graph

Flow = LoadedFlow | Graph | str | Path
Blocks = list[list[list[int]]]            # by request and kv head: attended blocks, ascending


@dataclass(frozen=True, kw_only=True)
class StepState:
    """What a step leaves to the next one of the same requests, layer by layer. Made by select_blocks and decode_step."""

    flow: str                             # hash of the Graph
    layer: int
    lens: tuple[int, ...]
    heads: int
    steps: int                            # done so far
    kept: Kept | None                     # of the last selection
    lists: Lists | None = field(repr=False)                               # of this step; None: all blocks
    saved: Mapping[str, tuple[torch.Tensor, ...]] = field(repr=False)     # by request: [H, complete blocks, rows, cols]


class Selected(NamedTuple):
    blocks: Blocks
    state: StepState


class Step(NamedTuple):
    """`output` [B, H*G, D] (latent: [B, G, kv_lora_rank]), float32; a NumPy array where q is one."""

    output: Tensor
    blocks: Blocks
    state: StepState


class Options(TypedDict, total=False):
    """layer: None is the first that selects. seeds: one a request, for flows that draw. kv_lora_rank: of a latent flow; None
    is the width of v, else 8/9 of D (512 of 576). scale: of the logits; None is 1 / sqrt(D)."""

    layer: int | None
    seeds: Sequence[int] | None
    kv_lora_rank: int | None
    scale: float | None


def select_blocks(flow: Flow, q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor] | None, point: OperatingPoint,
                  state: StepState | None = None, **options: Unpack[Options]) -> Selected:
    """The blocks that each request and kv head attends, ascending, and the state for a following step.

    q [B, H*G, D] holds the queries of the tokens being decoded; k and v, a tensor [T, H, D] for each request, hold the
    whole context, those tokens included. A latent flow takes k as [T, 1, D] and reads no v. `state` comes from the step
    before; since then k has grown. A layer that reuses takes the state of one that selected in this step.
    Raises VortexError.
    """
    at = _Decode(flow, q, k, v, point, options)
    after = at.select(state)
    return Selected(at.blocks(after.lists), after)


def decode_step(flow: Flow, q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor] | None, point: OperatingPoint,
                state: StepState | None = None, **options: Unpack[Options]) -> Step:
    """Selection and attention; arguments as of select_blocks."""
    at = _Decode(flow, q, k, v, point, options)
    after = at.select(state)
    output = at.attend(after.lists)
    return Step(output.numpy() if isinstance(q, np.ndarray) else output.to(q.device), at.blocks(after.lists), after)


def attend(flow: Flow, q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor] | None, point: OperatingPoint,
           state: StepState | None = None, **options: Unpack[Options]) -> Tensor:
    """The output of decode_step alone."""
    return decode_step(flow, q, k, v, point, state, **options).output


@lru_cache(maxsize=64)
def _traced(flow: LoadedFlow, geometry: Geometry) -> Graph:
    return flow.graph(geometry)


@lru_cache(maxsize=64)
def _compiled(graph: Graph, point: OperatingPoint) -> Program:
    return compile_flow(graph, point)


class _Decode:
    """A step that is about to be made: inputs checked, pool filled, blocks that are complete not yet summarised."""

    def __init__(self, flow: Flow, q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor] | None, point: OperatingPoint,
                 options: Options) -> None:
        _check_options(options, point)
        loaded = flow if isinstance(flow, LoadedFlow | Graph) else load_flow(flow)
        latent = loaded.geometry.latent if isinstance(loaded, Graph) else loaded.latent
        self.inputs = checked(q, k, v, latent, options.get("kv_lora_rank"))
        geometry = self.inputs.geometry(point.block_size)
        self.graph = loaded if isinstance(loaded, Graph) else _traced(loaded, geometry)
        if self.graph.geometry != geometry:
            raise EngineError(f"the flow was traced for {self.graph.geometry}, and the tensors are of {geometry}",
                              hint="Trace it for the geometry of the tensors, or give the flow itself.")
        self.point = point
        self.options = options
        layer = options.get("layer")
        self.layer = _first_selecting(point) if layer is None else layer
        _check_tables(point, self.layer, self.inputs.heads)
        self._program = _compiled(self.graph, point)
        self._own, total = _scatter([num_blocks(n, point.block_size) for n in self.inputs.lens], point)
        self._pools = {"k": _pool(self.inputs.k, self._own, total, point.block_size)}
        self._pools["v"] = self._pools["k"] if latent else _pool(self.inputs.v, self._own, total, point.block_size)
        self._total = total
        self._plan: Plan | None = None

    def select(self, state: StepState | None) -> StepState:
        """Makes the selection, as the layer's mode and the renewal say."""
        inputs, point, mode = self.inputs, self.point, self.point.mode(self.layer)
        plan = self._planned()
        _check_state(state, self.graph, inputs, self.layer, mode)
        if mode == "reuse":
            assert state is not None
            return state
        steps, saved = (state.steps, state.saved) if state else (0, {})
        kept, lists = (state.kept if state else None), None
        if mode == "select":
            fields, states = self._furnished(saved)
            if kept is not None and steps % point.renew_every:
                lists = carry(plan, kept)
            else:
                if not self._program.fits(plan, self.layer):
                    lists = self._program.select(plan, inputs.q, self._pools["k"], self._pools["v"], fields, states, self.layer)
                kept = keep(plan, lists, point.block_reserved_eos)
            saved = {name: tuple(pool[:, self._complete(b)] for b in range(len(self._own))) for name, pool in states.items()}
        return StepState(flow=self.graph.hash, layer=self.layer, lens=inputs.lens, heads=inputs.heads, steps=steps + 1,
                         kept=kept, lists=lists, saved=saved)

    def attend(self, lists: Lists | None) -> torch.Tensor:
        """[B, H*G, D] (latent: [B, G, kv_lora_rank]), after a selection."""
        q, scale = self.inputs.q, self.options.get("scale")
        scale = 1 / math.sqrt(q.shape[3]) if scale is None else scale
        assert self._plan is not None
        out = self._program.attend(self._plan, q, self._pools["k"], self._pools["v"], lists, scale)
        return out.reshape(out.shape[0], -1, out.shape[3])

    def blocks(self, lists: Lists | None) -> Blocks:
        if lists is None:
            return [[list(range(len(own))) for _ in range(self.inputs.heads)] for own in self._own]
        return [[row[:count] for row, count in zip(rows, counts, strict=True)]
                for rows, counts in zip(lists.index.tolist(), lists.counts.tolist(), strict=True)]

    def _planned(self) -> Plan:
        seeds = self.options.get("seeds")
        if seeds is not None and len(seeds) != len(self._own):
            raise EngineError(f"there are {len(seeds)} seeds for {len(self._own)} requests", hint="Give one for each, or none.")
        tables = torch.zeros(len(self._own), max(map(len, self._own)), dtype=torch.int64)
        for row, own in zip(tables, self._own, strict=True):
            row[:len(own)] = own
        self._plan = self._program.plan(self.inputs.lens, tables, tuple(map(int, seeds or range(len(self._own)))))
        return self._plan

    def _complete(self, request: int) -> torch.Tensor:
        """Ids of the blocks whose last token is there."""
        return self._own[request][:self.inputs.lens[request] // self.point.block_size]

    def _furnished(self, saved: Mapping[str, Sequence[torch.Tensor]]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Summaries and state of all complete blocks: what was saved, and first values of blocks that are new since."""
        fields, states = (self._made(of) for of in (self.graph.summaries, self.graph.states))
        done = torch.cat([self._complete(request) for request in range(len(self._own))])
        if done.numel():
            self._program.update(fields, states, self._pools["k"], self._pools["v"], done, self.layer)
        for name, rows in saved.items():
            for own, row in zip(self._own, rows, strict=True):
                states[name][:, own[:row.shape[1]]] = row
        return fields, states

    def _made(self, fields: Sequence[Field]) -> dict[str, torch.Tensor]:
        dtype = DTYPES[self.point.dtype]
        return {f.name: torch.zeros(self.inputs.heads, self._total, f.rows, f.cols, dtype=dtype) for f in fields}


def _check_options(options: Options, point: object) -> None:
    if not isinstance(point, OperatingPoint):
        raise EngineError(f"point is a {type(point).__name__}", hint="Give vortex.OperatingPoint(block_size=16, ...).")
    kinds = {"layer": int, "kv_lora_rank": int, "scale": int | float, "seeds": list | tuple}
    for name, value in options.items():
        if name not in kinds:
            raise EngineError(f"there is no option {name!r}", hint=f"Options: {', '.join(kinds)}.")
        if value is not None and not isinstance(value, kinds[name]):
            raise EngineError(f"{name} is {type(value).__name__}", hint="layer and kv_lora_rank are whole numbers, scale is a "
                              "number, seeds a list of whole numbers.")
    if (options.get("layer") or 0) < 0:
        raise EngineError(f"layer is {options['layer']}", hint="Layers count from 0.")
    if not math.isfinite(options.get("scale") or 0):
        raise EngineError(f"scale is {options['scale']}", hint="It is a finite number.")
    for seed in options.get("seeds") or ():
        if not isinstance(seed, int | np.integer):
            raise EngineError(f"a seed is {type(seed).__name__}", hint="Seeds are whole numbers, one for each request.")


def _first_selecting(point: OperatingPoint) -> int:
    """The first layer of mode select; 0 where there is none."""
    known = max([len(point.layer_modes), *(layer + 2 for layer in point.layers_skip)], default=1)
    return next((layer for layer in range(known) if point.mode(layer) == "select"), 0)


def _check_tables(point: OperatingPoint, layer: int, heads: int) -> None:
    for name in ("topk_layers", "ratio_layers"):
        table = getattr(point, name)
        entry = table[min(layer, len(table) - 1)] if table else 0
        if isinstance(entry, tuple) and len(entry) != heads:
            raise BudgetError(f"{name} has {len(entry)} values for layer {layer}, and there are {heads} kv heads",
                              hint="An entry is one value, or one per kv head.")


def _check_state(state: StepState | None, graph: Graph, inputs: Inputs, layer: int, mode: str) -> None:
    """Raises EngineError for a state of other requests, of another flow or of another layer."""
    if mode == "reuse" and (state is None or state.layer >= layer or state.lens != inputs.lens):
        raise EngineError(f"layer {layer} reuses the lists of the last layer that selected",
                          hint="Give the state that this step's selection left in that layer.")
    if state is None:
        return
    if not isinstance(state, StepState):
        raise EngineError(f"state is a {type(state).__name__}", hint="Give what select_blocks or decode_step returned as state.")
    if state.flow != graph.hash or (mode != "reuse" and state.layer != layer):
        raise EngineError("the state is that of another flow, geometry or layer", hint="Each layer goes on with its own state.")
    if state.heads != inputs.heads or len(state.lens) != len(inputs.lens) \
            or any(now < then for now, then in zip(inputs.lens, state.lens, strict=True)):
        raise EngineError(f"the state is of requests of {list(state.lens)} tokens, and these have {list(inputs.lens)}",
                          hint="A following step has the same requests with longer k.")


def _scatter(counts: Sequence[int], point: OperatingPoint) -> tuple[list[torch.Tensor], int]:
    """Block ids of each request and the size of the pool: pages lie in a drawn order, and page 0 is nobody's."""
    a_page = (point.page_size or point.block_size) // point.block_size
    pages = [-(-count // a_page) for count in counts]
    order = torch.randperm(sum(pages), generator=torch.Generator().manual_seed(0)) + 1
    ids = torch.split(order[:, None] * a_page + torch.arange(a_page), pages)
    return [own.flatten()[:count] for own, count in zip(ids, counts, strict=True)], (sum(pages) + 1) * a_page


def _pool(tokens: Sequence[torch.Tensor], own: Sequence[torch.Tensor], total: int, size: int) -> torch.Tensor:
    """[H, total, S, D] with the tokens [T, H, D] of each request in its blocks."""
    _, heads, channels = tokens[0].shape
    pool = torch.zeros(heads, total, size, channels)
    for x, ids in zip(tokens, own, strict=True):
        whole = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, len(ids) * size - len(x)))
        pool[:, ids] = whole.view(len(ids), size, heads, channels).permute(2, 0, 1, 3)
    return pool
