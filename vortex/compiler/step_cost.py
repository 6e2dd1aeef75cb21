"""What each kernel of a decode step moves and computes over a batch, by arithmetic.

Finer than `cost`: beside K, V, summaries and state it counts queries and outputs, block ids, lists and scores. Left out are
what a kernel may keep on chip (partial sums of attention split over a row) and the new token's own K and V.
"""
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vortex.compiler.bits import field_bytes
from vortex.compiler.cost import Shape, Work, block_bytes, block_operations, layer_work, parameter_bytes, stored_bytes
from vortex.compiler.selection import Rule, rules
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph, Lead
from vortex.language.ops.record import find

KINDS = ("update", "plan", "score", "select", "attend")
ID_BYTES = 4                              # a block id, a count, a length
SCORE_BYTES = 4
ACTIVATION_BYTES = 2                      # of queries and outputs: bfloat16
CHUNK = 64                                # blocks of one item of the planner's worklist
LAYERS_LOOKED_AT = 256


@dataclass(frozen=True, kw_only=True)
class KernelCost:
    """All launches of one kind in a step, on average over the steps (blocks complete, lists are renewed now and then).

    `moved`: bytes by matter (weights, kv, index, state, scores, lists, query); `operations` run on ordinary cores in fp32,
    `products` on tensor cores in bfloat16.
    """

    kind: str
    moved: Mapping[str, float] = field(default_factory=dict)
    operations: float = 0.0
    products: float = 0.0
    launches: float = 0.0

    @property
    def bytes(self) -> int:
        return round(sum(self.moved.values()))

    def times(self, factor: float) -> "KernelCost":
        return KernelCost(kind=self.kind, moved={matter: size * factor for matter, size in self.moved.items()},
                          operations=self.operations * factor, products=self.products * factor,
                          launches=self.launches * factor)

    def __add__(self, other: "KernelCost") -> "KernelCost":
        """Of two of one kind."""
        matters = dict.fromkeys([*self.moved, *other.moved])
        moved = {matter: self.moved.get(matter, 0.0) + other.moved.get(matter, 0.0) for matter in matters}
        return KernelCost(kind=self.kind, moved=moved, operations=self.operations + other.operations,
                          products=self.products + other.products, launches=self.launches + other.launches)


def kernel_bytes(graph: Graph | None, point: OperatingPoint, geometry: Geometry, heads: int, batch: int, context: int,
                 kv_itemsize_bytes: int = 2) -> Mapping[str, int]:
    """Bytes by kind of kernel, of one step of the first layer that selects; `plan` serves all layers of its budget.

    Where every row fits its budget nothing is planned: an engine knows the lengths and attends densely.
    For `batch` requests of `context` tokens and `heads` kv heads; kinds that are not launched are left out.
    """
    shape = Shape(context=context, layers=LAYERS_LOOKED_AT, kv_heads=heads, kv_itemsize_bytes=kv_itemsize_bytes)
    layer = next((n for n in range(shape.layers) if point.mode(n) == "select"), None)
    step = _Step(graph, point, geometry, shape, batch)
    found = step.dense() if layer is None or graph is None else step.select(layer)
    return {cost.kind: cost.bytes for cost in found if cost.bytes}


def step_kernels(graph: Graph | None, point: OperatingPoint, geometry: Geometry, shape: Shape,
                 batch: int) -> tuple[KernelCost, ...]:
    """Of all layers; of dense attention (None) only `attend`. Raises BudgetError."""
    step = _Step(graph, point, geometry, shape, batch)
    counts: Counter[tuple[str, int]] = Counter()
    selecting = -1
    for layer in range(shape.layers):
        mode = point.mode(layer) if graph is not None else "dense"
        selecting = layer if mode == "select" else selecting
        counts["dense" if selecting < 0 else mode, step.like(selecting) if mode != "dense" and selecting >= 0 else 0] += 1
    found = [cost.times(1 if cost.kind == "plan" else number) for (mode, layer), number in counts.items()
             for cost in (step.dense() if mode == "dense" else step.select(layer) if mode == "select" else step.reuse(layer))]
    return merged(found)


def merged(costs: Iterable[KernelCost]) -> tuple[KernelCost, ...]:
    """One entry a kind, in the order in which a step runs them; kinds that do nothing are left out."""
    total: dict[str, KernelCost] = {}
    for one in costs:
        total[one.kind] = total[one.kind] + one if one.kind in total else one
    return tuple(total[kind] for kind in KINDS if kind in total and total[kind].launches)


@dataclass(frozen=True)
class _Step:
    """One decode step; a layer's costs are asked for by its number."""

    graph: Graph | None
    point: OperatingPoint
    geometry: Geometry
    shape: Shape
    batch: int

    @property
    def rules(self) -> tuple[Rule, ...]:
        return () if self.graph is None else rules(self.graph)

    def like(self, layer: int) -> int:
        """The first number at which the tables of the point say the same as at `layer`."""
        return min(layer, max(0, len(self.point.topk_layers) - 1, len(self.point.ratio_layers) - 1))

    def dense(self) -> Iterator[KernelCost]:
        yield self._attend(layer_work((), self.point, self.shape, 0))

    def reuse(self, layer: int) -> Iterator[KernelCost]:
        """With the lists of `layer`, which selects."""
        yield self._attend(layer_work(self.rules, self.point, self.shape, layer))

    def select(self, layer: int) -> Iterator[KernelCost]:
        assert self.graph is not None
        work = layer_work(self.rules, self.point, self.shape, layer)
        if self.graph.fields:
            yield self._update(self.graph)
        if work.scored:
            due = 1 / self.point.renew_every
            yield self._plan(work)
            yield self._score(self.graph, work).times(due)
            yield self._select(work).times(due)
        yield self._attend(work)

    def _update(self, graph: Graph) -> KernelCost:
        """A request completes a block every block_size steps."""
        geometry, completed = self.geometry, self.batch * self.shape.kv_heads / self.point.block_size
        read = {str(n.attr("name")) for n in graph.cache if n.op == "field"} & set(geometry.stored)
        kept = len(read) * geometry.block_size * geometry.head_dim * self.shape.kv_itemsize_bytes
        operations = sum(find(n.op).operations([graph.cache[a].type for a in n.args], n.type) for n in graph.cache)
        moved = {"kv": kept * completed, "index": field_bytes(graph, self.point, graph.summaries) * completed,
                 "state": field_bytes(graph, self.point, graph.states) * completed}
        return KernelCost(kind="update", moved=moved, operations=operations * completed, launches=1)

    def _plan(self, work: Work) -> KernelCost:
        """Lengths in; what vortex.compiler.kernels.workspace.Worklist lists out, with the lists of rows that fit."""
        rows = self.batch * self.shape.kv_heads
        items = self.batch * -(-work.scored // CHUNK)
        each_row = 3 + len(self.rules)                            # end, starts, counts, and the most of every rule
        listed = self.batch * (work.listed - work.chosen)
        moved = {"lists": float(ID_BYTES * (2 * self.batch + each_row * rows + 2 * items + listed))}
        return KernelCost(kind="plan", moved=moved, launches=1)

    def _score(self, graph: Graph, work: Work) -> KernelCost:
        scored, rows = self.batch * work.scored, self.batch * work.scored_rows
        each = {matter: size * scored for matter, size in block_bytes(graph, self.point, self.shape.kv_itemsize_bytes).items()}
        products, operations = block_operations(graph)
        between, launches = _between(graph)
        moved = {**each, "weights": rows * parameter_bytes(graph),
                 "query": rows * self.geometry.group * self.geometry.head_dim * ACTIVATION_BYTES,
                 "scores": scored * SCORE_BYTES * (self._scores + 2 * between),
                 "lists": scored * ID_BYTES if any(each.values()) else 0}
        return KernelCost(kind="score", moved=moved, operations=operations * scored, products=products * scored,
                          launches=launches if self._scores else 0)

    @property
    def _scores(self) -> int:
        """Scores of a block: one for every rule that has any."""
        return sum(rule.score >= 0 for rule in self.rules)

    def _select(self, work: Work) -> KernelCost:
        rows, scored, chosen = (self.batch * n for n in (work.scored_rows, work.scored, work.chosen))
        moved = {"scores": scored * SCORE_BYTES * self._scores, "lists": ID_BYTES * (chosen + 2 * rows)}
        return KernelCost(kind="select", moved=moved, operations=float(scored * self._scores), launches=1)

    def _attend(self, work: Work) -> KernelCost:
        """Reads a block's id and, where rows were scored, its entry of the list."""
        geometry, tokens = self.geometry, self.batch * work.tokens
        channels = geometry.head_dim + (geometry.kv_lora_rank or geometry.head_dim)
        rows = self.batch * self.shape.kv_heads
        moved = {"kv": tokens * stored_bytes(geometry, self.shape.kv_itemsize_bytes),
                 "query": rows * geometry.group * channels * ACTIVATION_BYTES,
                 "lists": self.batch * work.listed * ID_BYTES * (2 if work.scored else 1)}
        return KernelCost(kind="attend", moved=moved, products=2.0 * geometry.group * channels * tokens, launches=1)


def _between(graph: Graph) -> tuple[int, int]:
    """Numbers a block that pass from one scoring kernel to the next, and how many such kernels there are.

    An op that ranges over the blocks of a row stands alone: what it reads and gives goes through memory.
    """
    across = [i for i, node in enumerate(graph.indexer) if find(node.op).across_blocks]
    scores = {rule.score for rule in rules(graph)}
    passed = {i for i in across if i not in scores} | {a for i in across for a in graph.indexer[i].args}
    nodes = [graph.indexer[i] for i in passed if not find(graph.indexer[i].op).leaf]
    return sum(n.type.rows * n.type.cols for n in nodes if n.type.lead is Lead.BLOCK), 1 + len(across)
