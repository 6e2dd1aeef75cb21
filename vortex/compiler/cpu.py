"""The Program in batched torch: all rows of a decode step at once, on a CPU or any device that torch has."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from vortex.budget import num_blocks
from vortex.compiler.attention import attend_all, attend_listed
from vortex.compiler.layout import CpuPlan, Scored, find_runs, find_spacing
from vortex.compiler.lowering import Call, Turn, lower_indexer, plain, schedule
from vortex.compiler.parameters import parameter_of_layer
from vortex.compiler.parts import part_of
from vortex.compiler.program import Lists, Plan
from vortex.compiler.scope import CompletionScope, CpuScope
from vortex.compiler.selection import rules
from vortex.compiler.take import take_any, take_uniform
from vortex.config import OperatingPoint
from vortex.ir import SELECTION, Geometry, Graph, Node
from vortex.language.ops.record import Scope

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BLOCKS_AT_ONCE = 1024                     # completed blocks summarised together: bounds the copies
Tensors = Mapping[str, torch.Tensor]
Leaf = Callable[[Node], torch.Tensor]


def dense_graph(geometry: Geometry) -> Graph:
    """The flow that takes every block: what an engine runs when it is given none."""
    return Graph("dense", geometry, (), (), (), (Node("everything", (), (), SELECTION),), (), 0)


def _read_by_name(read: Callable[[str], torch.Tensor], node: Node) -> torch.Tensor:
    return read(node.attr("name"))


class CpuProgram:
    """Holds no tensor but constants. Right when it equals compiler/reference.py; see Program for shapes."""

    def __init__(self, graph: Graph, point: OperatingPoint) -> None:
        self.graph = graph
        self.point = point
        self._dtype = DTYPES[point.dtype]
        self._rules = rules(graph)
        self._rank = graph.geometry.kv_lora_rank
        self._cache = plain(graph.cache)
        self._cache_turns = schedule(self._cache, [node for _, node in graph.writes])
        self._indexer = lower_indexer(graph)
        self._indexer_turns = schedule(self._indexer, [*(rule.score for rule in self._rules if rule.score >= 0),
                                                       *(node for _, node in graph.saves)])
        self._constants: dict[tuple[str, int, int, torch.device], torch.Tensor] = {}

    def plan(self, lens: Sequence[int], tables: torch.Tensor, seeds: Sequence[int]) -> CpuPlan:
        blocks = tuple(num_blocks(length, self.point.block_size) for length in lens)
        tables = tables[:, :max(blocks)]
        runs = find_runs(tables, blocks)
        return CpuPlan(lens=tuple(lens), blocks=blocks, tables=tables, seeds=tuple(seeds), runs=runs,
                       spacing=find_spacing(runs) if len(set(lens)) == 1 else None)

    def fits(self, plan: Plan, layer: int) -> bool:
        assert isinstance(plan, CpuPlan)
        return part_of(plan, self.point, self._rules, layer).scored is None

    def update(self, fields: Tensors, state: Tensors, k: torch.Tensor, v: torch.Tensor,
               done_blocks: torch.Tensor, layer: int = 0) -> None:
        for done in torch.split(done_blocks, BLOCKS_AT_ONCE):
            self._summarise(fields, {"k": k, "v": v, "latent": k}, done, layer)
        for name, tensor in state.items():
            first = self.graph.field(name).first
            if isinstance(first, str):
                tensor.index_copy_(1, done_blocks, fields[first].index_select(1, done_blocks))
            else:
                tensor.index_fill_(1, done_blocks, first)

    def select(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors, state: Tensors,
               layer: int) -> Lists:
        assert isinstance(plan, CpuPlan)
        part = part_of(plan, self.point, self._rules, layer)
        batch, heads = q.shape[:2]
        scored = part.scored
        if scored is None:
            assert part.known is not None
            return Lists(index=part.known.index.expand(batch, heads, -1), counts=part.known.counts.expand(batch, heads))
        values = self._score(plan, scored, q, k, v, fields, state, layer)
        scores = [values[rule.score].expand(len(scored.requests), heads, -1, 1, 1)[..., 0, 0] for rule in self._rules]
        if part.known is not None:
            lists = take_uniform(part, scored, scores[0], self.point.block_reserved_bos)
        else:
            lists = take_any(plan, part, scored, self._rules, scores, self.point.block_reserved_bos)
        # A state may be made of another one's last value: all are read before any is written.
        saved = [(name, values[node].to(state[name].dtype, copy=True)) for name, node in self.graph.saves]
        for name, value in saved:
            scored.write(state[name], value, part.live)
        return lists

    def attend(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists | None,
               scale: float) -> torch.Tensor:
        assert isinstance(plan, CpuPlan)
        if lists is None:
            return attend_all(plan, q, k, v, scale, self._rank)
        return attend_listed(plan, q, k, v, lists, scale, self._rank)

    def _score(self, plan: CpuPlan, scored: Scored, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors,
               state: Tensors, layer: int) -> dict[int, torch.Tensor]:
        """The values that rules and saves ask for."""
        pools = {"k": k, "v": v, "latent": k, **fields}
        rows = q if len(scored.requests) == q.shape[0] else q[list(scored.requests)]
        leaves = self._leaves({
            "input": lambda name: rows[:, :, None].float(),
            "field": lambda name: scored.read(pools[name]).float(),
            "state": lambda name: scored.read(state[name]).float(),
        }, q.device, layer, q.shape[1])
        scope = CpuScope(plan=plan, scored=scored, layer=layer, q=q, k=k)
        return self._run(self.graph.indexer, self._indexer, self._indexer_turns, scope, leaves)

    def _summarise(self, fields: Tensors, pools: Tensors, done: torch.Tensor, layer: int) -> None:
        leaves = self._leaves({"field": lambda name: pools[name].index_select(1, done).float()}, done.device, layer,
                              pools["k"].shape[0])
        values = self._run(self.graph.cache, self._cache, self._cache_turns, CompletionScope(), leaves)
        for name, node in self.graph.writes:
            pool = fields[name]
            pool.index_copy_(1, done, values[node].to(pool.dtype).expand(pool.shape[0], done.numel(), *pool.shape[2:]))

    def _leaves(self, readers: Mapping[str, Callable[[str], torch.Tensor]], device: torch.device, layer: int,
                heads: int) -> Mapping[str, Leaf]:
        """Values that a node does not compute from others, by op."""
        leaves: dict[str, Leaf] = {op: partial(_read_by_name, read) for op, read in readers.items()}
        leaves["const"] = lambda node: torch.full((1, 1, 1), node.attr("value"), device=device)
        leaves["param"] = lambda node: self._constant(node, layer, heads, device)
        return leaves

    def _constant(self, node: Node, layer: int, heads: int, device: torch.device) -> torch.Tensor:
        """A parameter's values for a layer, [heads or 1, 1, rows, cols]; they are brought to the device once."""
        key = (node.attr("digest"), layer, heads, device)
        if key not in self._constants:
            self._constants[key] = parameter_of_layer(self.graph, node, layer, heads).to(device)
        return self._constants[key]

    def _run(self, nodes: Sequence[Node], calls: Sequence[Call], turns: Sequence[Turn], scope: Scope,
             leaves: Mapping[str, Leaf]) -> dict[int, torch.Tensor]:
        values: dict[int, torch.Tensor] = {}
        for turn in turns:
            index, node, call = turn.index, nodes[turn.index], calls[turn.index]
            if node.op in leaves:
                values[index] = leaves[node.op](node)
            elif node.op == "stored":
                values[index] = values[call.args[0]].to(self._dtype).float()
            else:
                values[index] = call.function(scope, *(values[a] for a in call.args))
            for value in turn.spent:
                del values[value]
        return values
