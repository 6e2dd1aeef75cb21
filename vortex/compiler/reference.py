"""The definition of right: one row, its own contiguous q, K and V; no plan, no pool, no stored summary.

Letters of shapes: G query heads of the group, D channels, T tokens, n blocks, N = n - eos scored blocks.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vortex.budget import budget, num_blocks
from vortex.config import OperatingPoint
from vortex.ir import Graph, Node
from vortex.language.ops.noise import noise_key
from vortex.language.ops.record import Scope, find

ROUNDED_TO = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One (request, kv head) pair in one decode step: float32 q [G, D], k and v [T, D], this step's token included."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    layer: int = 0
    head: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is right for a row: blocks attended, ascending; the scores [N] of its scored blocks and the state after the
    step [n, rows, cols], where the row was scored; attention [G, D]."""

    blocks: tuple[int, ...]
    score: torch.Tensor | None
    state: Tensors
    output: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class RowScope:
    """What ops may know of the row: N scored blocks, of which the first `bos` are reserved."""

    row: Row
    block_size: int
    scored: int
    bos: int

    @property
    def position(self) -> torch.Tensor:
        return torch.arange(self.scored, dtype=torch.float32).reshape(-1, 1, 1)

    @property
    def middle(self) -> torch.Tensor:
        return self.position >= self.bos

    @property
    def noise_key(self) -> torch.Tensor:
        row = self.row
        keys = [noise_key(row.seed, len(row.k), row.layer, row.head, block) for block in range(self.scored)]
        return torch.tensor(keys, dtype=torch.int64).reshape(-1, 1, 1)

    @property
    def mass(self) -> torch.Tensor:
        scores = self.row.q @ self.row.k.T / math.sqrt(self.row.q.shape[1])
        mass = torch.softmax(scores, dim=1).mean(dim=0)
        blocks = [mass[i * self.block_size:(i + 1) * self.block_size].sum() for i in range(self.scored)]
        return torch.stack(blocks).reshape(-1, 1, 1)


def _evaluate(nodes: Sequence[Node], scope: Scope | None, leaf: Callable[[Node], torch.Tensor],
              rounded: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """The value of every node, in float32."""
    values: list[torch.Tensor] = []
    for node in nodes:
        if node.op in ("input", "field", "state"):
            value = leaf(node)
        elif node.op == "stored":
            value = rounded(values[node.args[0]])
        else:
            value = find(node.op).evaluate(scope, *(values[a] for a in node.args), **dict(node.attrs))
        values.append(value)
    return values


def summarise(graph: Graph, point: OperatingPoint, k: torch.Tensor, v: torch.Tensor) -> dict[str, torch.Tensor]:
    """The summaries [rows, cols] of one completed block of keys and values [block_size, D], rounded as fields are."""
    dtype = ROUNDED_TO[point.dtype]

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return x.to(dtype).float()

    values = _evaluate(graph.cache, None, lambda node: {"k": k, "v": v}[node.attr("name")][None].float(), rounded)
    return {name: rounded(values[node])[0] for name, node in graph.writes}


def _fields(graph: Graph, point: OperatingPoint, row: Row, scored: int) -> dict[str, torch.Tensor]:
    """k, v and every summary of the scored blocks, [N, rows, cols]."""
    size = point.block_size
    keys, values = (x[:scored * size].reshape(scored, size, -1).float() for x in (row.k, row.v))
    summaries = [summarise(graph, point, keys[i], values[i]) for i in range(scored)]
    return {"k": keys, "v": values,
            **{f.name: torch.stack([s[f.name] for s in summaries]) for f in graph.summaries}}


def _first_state(graph: Graph, blocks: int, state: Tensors) -> dict[str, torch.Tensor]:
    """State before the step, [n, rows, cols]: what was saved, and `first` for blocks that are new since."""
    full = {}
    for f in graph.states:
        known = state.get(f.name, torch.empty(0, f.rows, f.cols)).float()
        full[f.name] = torch.cat([known, torch.full((blocks - len(known), f.rows, f.cols), f.first)])
    return full


def take_best(score: Sequence[float], first: int, count: int) -> list[int]:
    """`count` positions from `first` on: the highest scores; equal ones by the lower position, NaN last."""
    def order(i: int) -> tuple[bool, float, int]:
        missing = math.isnan(score[i])
        return missing, 0.0 if missing else -score[i], i

    return sorted(range(first, len(score)), key=order)[:count]


def attend(row: Row, blocks: Sequence[int], block_size: int, scale: float | None = None) -> torch.Tensor:
    """Softmax attention over the tokens of `blocks`, in float32: [G, D]. scale defaults to 1 / sqrt(D)."""
    tokens = [t for b in blocks for t in range(b * block_size, min((b + 1) * block_size, len(row.k)))]
    k, v = row.k[tokens].float(), row.v[tokens].float()
    scale = 1 / math.sqrt(row.q.shape[1]) if scale is None else scale
    return torch.softmax(row.q.float() @ k.T * scale, dim=1) @ v


def run(graph: Graph, point: OperatingPoint, row: Row, state: Tensors | None = None, *,
        scale: float | None = None) -> Outcome:
    """One decode step of one row. `state` is that of the step before, [blocks then, rows, cols] by name.

    A row that fits its budget attends everything and neither scores nor saves. Rounding happens only into fields and
    state, to point.dtype.
    """
    n = num_blocks(len(row.k), point.block_size)
    allowed = budget(n, point)
    before = _first_state(graph, n, state or {})
    if n <= allowed or graph.indexer[graph.selection].op == "everything":
        return Outcome(blocks=tuple(range(n)), score=None, state=before,
                       output=attend(row, range(n), point.block_size, scale))
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    scored = n - eos
    fields = _fields(graph, point, row, scored)
    supplied = {"input": {"q": row.q[None].float()}, "field": fields,
                "state": {name: value[:scored] for name, value in before.items()}}
    scope = RowScope(row=row, block_size=point.block_size, scored=scored, bos=bos)
    values = _evaluate(graph.indexer, scope, lambda node: supplied[node.op][node.attr("name")], lambda x: x)
    after = dict(before)
    for name, node in graph.saves:
        kept = values[node].to(ROUNDED_TO[point.dtype]).float()
        after[name] = torch.cat([kept, before[name][scored:]])
    score = values[graph.selection].flatten()
    chosen = take_best(score.tolist(), bos, allowed - bos - eos)
    blocks = tuple(sorted({*range(bos), *chosen, *range(scored, n)}))
    return Outcome(blocks=blocks, score=score, state=after, output=attend(row, blocks, point.block_size, scale))
