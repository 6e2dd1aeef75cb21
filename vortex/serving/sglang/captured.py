"""Decode steps that SGLang captures in CUDA graphs: for each batch size tensors that stay where they are, shared by the dense
graph and the sparse one.

All of it may be recorded: the device reads the engine's tensors, plans and selects, and nothing waits for the host. Nothing
here knows SGLang. Letters of shapes as in vortex/compiler/program.py.
"""
from collections.abc import Callable, Sequence

import torch

from vortex.compiler.kernels.inputs import write_done, write_inputs
from vortex.compiler.kernels.workspace import Arena
from vortex.compiler.program import Lists
from vortex.language.ops.noise import wrapped
from vortex.serving.embedded.steps import FixedProgram, fixed
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.dense_rule import DENSE, SPARSE, DenseRule, labels_of
from vortex.serving.sglang.served import Served


class CapturedStep:
    """Steps of one batch size; see DecodeStep for what a backend asks of them. Raises CompileError.

    `blocks`: the most that a request of the engine has; `arena` is shared by all sizes.
    """

    def __init__(self, served: Served, requests: int, heads: int, blocks: int, arena: Arena, counters: Counters) -> None:
        program = fixed(served.program)
        assert program is not None, "what is captured are Programs of fixed steps"
        self.dense = False
        self.done = torch.full((requests,), -1, dtype=torch.int64, device=arena.device)
        self._served = served
        self._program: FixedProgram = program
        self._plan = program.prepare(requests=requests, heads=heads, blocks=blocks, device=arena.device, arena=arena)
        self._counters = counters
        self._draws = any(node.op == "random" for node in served.graph.indexer)
        self._names: tuple[str, ...] = ()
        self._selected: Lists | None = None

    def sow(self, names: tuple[str, ...], seed: Callable[[str], int]) -> None:
        """The seeds of the requests that are there, in order: by the host, before the step; only flows that draw need them."""
        if not self._draws or names == self._names:
            return
        held = self._plan.inputs.seeds
        row = torch.zeros(held.shape[0], dtype=torch.int64, pin_memory=held.is_cuda)
        row[:len(names)] = torch.tensor([wrapped(seed(name)) for name in names], dtype=torch.int64)
        held.copy_(row, non_blocking=True)
        self._names = names

    def begin(self, lens: torch.Tensor, requests: torch.Tensor, slots: torch.Tensor, table: torch.Tensor) -> None:
        """Reads the engine's tensors: see write_inputs. A dense step only notes what will be summarised."""
        self._selected = None
        size = self._served.point.block_size
        if self.dense:
            write_done(slots, self.done, size)
            return
        write_inputs(lens, requests, slots, table, self._plan.inputs, self.done, size)
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
        if self._selected is not None:
            self._counters.chose(self._selected.counts)
        return self._program.attend(self._plan, q, k, v, self._selected, scale)



class CapturedGraphs:
    """The captured steps of what is served, by batch size, and the choice between the graphs of each.

    A choice is made once a step, on the host, from the true batch: what is replayed is padded and has no names. `blocks`: the
    most that a request of the engine has.
    """

    def __init__(self, served: Served, blocks: int, device: torch.device, counters: Counters) -> None:
        self.labels = labels_of(served.graph, served.point)
        self.names: tuple[str, ...] = ()
        self.lens: tuple[int, ...] = ()
        self.dense = False                # what the last choice was
        self._served = served
        self._heads = served.pages.k(min(served.layers.select, default=0)).shape[0]
        self._blocks = blocks
        self._arena = Arena(device)
        self._counters = counters
        self._steps: dict[int, CapturedStep] = {}

    def step(self, requests: int) -> CapturedStep:
        """Of so many rows; made when first asked for, which is before a capture."""
        if requests not in self._steps:
            self._steps[requests] = CapturedStep(self._served, requests, self._heads, self._blocks, self._arena, self._counters)
        return self._steps[requests]

    def forget(self) -> None:
        """Captures begin anew."""
        self._steps.clear()

    def choose(self, names: Sequence[str], lens: Sequence[int] | None, rule: DenseRule) -> str:
        """The graph for requests of these lengths, padding left out. Without any the cheaper one; not known (None): sparse,
        which is right for all."""
        self.names, self.lens = tuple(names), tuple(lens or ())
        self.dense = DENSE in self.labels and lens is not None and (not lens or rule.dense(lens))
        return DENSE if self.dense else SPARSE

    def expect(self, *, dense: bool) -> None:
        """Without a batch: to be captured, or measured."""
        self.names, self.lens, self.dense = (), (), dense

    def replay(self, requests: int, seed: Callable[[str], int]) -> None:
        """What the host does before a replay of so many rows; the seed of a request by its name."""
        if self.lens:
            self._counters.step(self.dense)
        if not self.dense:
            self.step(requests).sow(self.names, seed)
            served, size = self._served, self._served.point.block_size
            attending = len(served.layers.select | served.layers.reuse)
            self._counters.possible_blocks += attending * self._heads * sum(-(-length // size) for length in self.lens)
