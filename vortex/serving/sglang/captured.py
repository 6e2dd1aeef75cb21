"""Decode steps that SGLang captures in CUDA graphs: for each batch size tensors that stay where they are, shared by the dense
graph and the sparse one.

All of it may be recorded: the device reads the engine's tensors, plans and selects, and nothing waits for the host. Nothing
here knows SGLang. Letters of shapes as in vortex/compiler/program.py.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vortex.compiler.program import Lists
from vortex.language.ops.noise import wrapped
from vortex.serving.embedded.steps import FixedProgram, fixed
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.seating_kernels import note_done, seat
from vortex.serving.sglang.served import Served

WIDTH = 1024                              # columns of a table that one program of `seat` writes


@dataclass(frozen=True, kw_only=True)
class Seats:
    """What a captured step reads of the engine, at fixed addresses. Padded rows write to slot 0, which nobody owns."""

    lens: torch.Tensor                    # int64 [B]: tokens, the one being decoded counted
    requests: torch.Tensor                # int64 [B]: rows of `table`
    slots: torch.Tensor                   # int64 [B]: where this step's token goes
    table: torch.Tensor                   # int32 [requests of the engine, tokens]: slots by position


class CapturedStep:
    """Steps of one batch size; see DecodeStep for what a backend asks of them. Raises CompileError.

    `blocks`: the most that a request of the engine has.
    """

    def __init__(self, served: Served, requests: int, heads: int, blocks: int, device: torch.device,  # noqa: PLR0913
                 counters: Counters | None = None) -> None:
        program = fixed(served.program)
        assert program is not None, "what is captured are Programs of fixed steps"
        self.dense = False
        self.done = torch.full((requests,), -1, dtype=torch.int64, device=device)
        self._served = served
        self._program: FixedProgram = program
        self._plan = program.prepare(requests=requests, heads=heads, blocks=blocks, device=device)
        self._counters = counters
        self._draws = any(node.op == "random" for node in served.graph.indexer)
        self._seeds: tuple[int, ...] = ()
        self._selected: Lists | None = None

    def sow(self, seeds: Sequence[int]) -> None:
        """The seeds of the requests that are there, in order: by the host, before the step; only flows that draw need them."""
        wanted = tuple(map(wrapped, seeds))
        if not self._draws or wanted == self._seeds:
            return
        held = self._plan.inputs.seeds
        row = torch.zeros(held.shape[0], dtype=torch.int64, pin_memory=held.is_cuda)
        row[:len(wanted)] = torch.tensor(wanted, dtype=torch.int64)
        held.copy_(row, non_blocking=True)
        self._seeds = wanted

    @property
    def draws(self) -> bool:
        return self._draws

    def begin(self, seats: Seats, dense: bool) -> None:
        """Reads the engine's tensors; `dense`: only what completes will be summarised."""
        self.dense = dense
        self._selected = None
        size, requests = self._served.point.block_size, self.done.shape[0]
        if dense:
            note_done[(requests,)](seats.slots, self.done, SIZE=size)
            return
        inputs = self._plan.inputs
        columns = inputs.tables.shape[1]
        seat[(requests, -(-columns // WIDTH))](
            seats.lens, seats.requests, seats.slots, seats.table, inputs.lens, inputs.tables, self.done, columns,
            seats.table.stride(0), SIZE=size, WIDTH=WIDTH)
        self._program.begin(self._plan)

    def sparse(self, layer: int) -> bool:
        """Is this layer's attention ours?"""
        return not self.dense and (layer in self._served.layers.select or layer in self._served.layers.reuse)

    def attend(self, layer: int, q: torch.Tensor, scale: float) -> torch.Tensor:
        """[B, H, G, V] of q [B, H, G, D]; keys and values of this step are in the pages, and summaries are up to date."""
        served = self._served
        k, v = served.pages.k(layer), served.pages.v(layer)
        if layer in served.layers.select:
            fields, state = served.summaries.fields[layer], served.summaries.state[layer]
            self._selected = self._program.select(self._plan, q, k, v, fields, state, layer)
        if self._counters is not None and self._selected is not None:
            self._counters.chose(self._selected.counts)
        return self._program.attend(self._plan, q, k, v, self._selected, scale)
