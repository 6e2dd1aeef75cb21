"""The Program in batched torch: all rows of a decode step at once, on a CPU or any device that torch has."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from vortex.budget import budget, num_blocks
from vortex.compiler.attention import attend_all, attend_listed
from vortex.compiler.layout import CpuPlan, Scored, find_runs, find_spacing, make_scored
from vortex.compiler.lowering import Call, Turn, lower_indexer, plain, schedule
from vortex.compiler.program import Lists, Plan
from vortex.compiler.scope import CompletionScope, CpuScope
from vortex.compiler.topk import best
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
        self._everything = graph.indexer[graph.selection].op == "everything"
        self._cache = plain(graph.cache)
        self._cache_turns = schedule(self._cache, [node for _, node in graph.writes])
        self._indexer = lower_indexer(graph)
        self._indexer_turns = schedule(self._indexer, [graph.selection, *(node for _, node in graph.saves)])

    def plan(self, lens: Sequence[int], tables: torch.Tensor, seeds: Sequence[int]) -> CpuPlan:
        """Runs, budgets and the known parts of the lists of one step; a row that fits its budget is not scored."""
        blocks = tuple(num_blocks(length, self.point.block_size) for length in lens)
        tables = tables[:, :max(blocks)]
        budgets = blocks if self._everything else tuple(budget(n, self.point) for n in blocks)
        taken = tuple(min(pair) for pair in zip(blocks, budgets, strict=True))
        runs = find_runs(tables, blocks)
        reserved = (self.point.block_reserved_bos, self.point.block_reserved_eos)
        large = [r for r, (n, most) in enumerate(zip(blocks, budgets, strict=True)) if n > most]
        return CpuPlan(
            lens=tuple(lens), blocks=blocks, budgets=budgets, tables=tables, seeds=tuple(seeds), runs=runs,
            spacing=find_spacing(runs) if len(set(lens)) == 1 else None, taken=taken,
            counts=torch.tensor(taken, device=tables.device)[:, None],
            scored=make_scored(tables, runs, blocks, large, reserved) if large else None,
            known=self._known(blocks, taken, tables.device) if large else tables[:, :0],
        )

    def update(self, fields: Tensors, state: Tensors, k: torch.Tensor, v: torch.Tensor,
               done_blocks: torch.Tensor, layer: int = 0) -> None:
        for part in torch.split(done_blocks, BLOCKS_AT_ONCE):
            self._summarise(fields, {"k": k, "v": v}, part)
        for name, tensor in state.items():
            tensor.index_fill_(1, done_blocks, self.graph.field(name).first)

    def select(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors, state: Tensors,
               layer: int) -> Lists:
        assert isinstance(plan, CpuPlan)
        batch, heads = q.shape[:2]
        counts = plan.counts.expand(batch, heads)
        scored = plan.scored
        if scored is None:
            index = self._known(plan.blocks, plan.taken, q.device)
            return Lists(index=index[:, None].expand(batch, heads, -1), counts=counts)
        pools = {"k": k, "v": v, **fields}
        rows = q if len(scored.requests) == batch else q[list(scored.requests)]
        leaf = self._leaves({
            "input": lambda name: rows[:, :, None].float(),
            "field": lambda name: scored.read(pools[name]).float(),
            "state": lambda name: scored.read(state[name]).float(),
        }, q)
        scope = CpuScope(plan=plan, scored=scored, layer=layer, q=q, k=k)
        values = self._run(self.graph.indexer, self._indexer, self._indexer_turns, scope, leaf)
        score = values[self.graph.selection].expand(len(rows), heads, -1, 1, 1)[..., 0, 0]
        lists = Lists(index=self._take(plan, scored, score), counts=counts)
        # A state may be made of another one's last value: all are read before any is written.
        saved = [(name, values[node].to(state[name].dtype, copy=True)) for name, node in self.graph.saves]
        for name, value in saved:
            scored.write(state[name], value)
        return lists

    def attend(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists | None,
               scale: float) -> torch.Tensor:
        assert isinstance(plan, CpuPlan)
        return attend_all(plan, q, k, v, scale) if lists is None else attend_listed(plan, q, k, v, lists, scale)

    def _summarise(self, fields: Tensors, pools: Tensors, done: torch.Tensor) -> None:
        leaves = self._leaves({"field": lambda name: pools[name].index_select(1, done).float()}, done)
        values = self._run(self.graph.cache, self._cache, self._cache_turns, CompletionScope(), leaves)
        for name, node in self.graph.writes:
            pool = fields[name]
            pool.index_copy_(1, done, values[node].to(pool.dtype).expand(pool.shape[0], done.numel(), *pool.shape[2:]))

    def _known(self, blocks: Sequence[int], taken: Sequence[int], device: torch.device) -> torch.Tensor:
        """int64 [B, L]: all of a row that fits; first and last blocks of another, zeros between and beyond."""
        rows: dict[int, torch.Tensor] = {}
        bos, eos = self.point.block_reserved_bos, self.point.block_reserved_eos
        for n, count in zip(blocks, taken, strict=True):
            if n not in rows:
                row = torch.zeros(max(taken), dtype=torch.int64)
                if n == count:
                    row[:n] = torch.arange(n)
                else:
                    row[:bos] = torch.arange(bos)
                    row[count - eos:count] = torch.arange(n - eos, n)
                rows[n] = row
        return torch.stack([rows[n] for n in blocks]).to(device)

    def _take(self, plan: CpuPlan, scored: Scored, score: torch.Tensor) -> torch.Tensor:
        """The lists int64 [B, H, L] from `score` [R, H, M]."""
        bos = self.point.block_reserved_bos
        index = plan.known[:, None].repeat(1, score.shape[1], 1)
        alike: dict[int, list[int]] = {}
        for row, end in enumerate(scored.blocks):
            alike.setdefault(end, []).append(row)
        for end, rows in alike.items():
            k = plan.taken[scored.requests[rows[0]]] - bos - self.point.block_reserved_eos
            whole = len(rows) == index.shape[0]
            picks = best((score if whole else score[rows])[..., bos:end], k) + bos
            if whole:
                index[:, :, bos:bos + k] = picks
            else:
                index[[scored.requests[row] for row in rows], :, bos:bos + k] = picks
        return index

    def _leaves(self, readers: Mapping[str, Callable[[str], torch.Tensor]], like: torch.Tensor) -> Mapping[str, Leaf]:
        """Values that a node does not compute from others, by op."""
        leaves: dict[str, Leaf] = {op: partial(_read_by_name, read) for op, read in readers.items()}
        leaves["const"] = lambda node: torch.full((1, 1, 1), node.attr("value"), device=like.device)
        return leaves

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
