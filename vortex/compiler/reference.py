"""The definition of right: one row, its own contiguous q, K and V; no plan, no pool, no stored summary.

Letters of shapes: G query heads of the group, D channels, T tokens, n blocks, N = n - eos scored blocks.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vortex.budget import budget, num_blocks
from vortex.compiler.parameters import parameter_of_head
from vortex.compiler.selection import Rule, fits, rules
from vortex.config import OperatingPoint
from vortex.ir import SELECTION, Graph, Node
from vortex.language.ops.noise import noise_key
from vortex.language.ops.record import Scope, find

ROUNDED_TO = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One (request, kv head) pair in one decode step: float32 q [G, D], k and v [T, D], this step's token included.

    With latent attention k holds the latent rows, and v their first kv_lora_rank channels.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    layer: int = 0
    head: int = 0
    seed: int = 0
    step: int = 0                         # of the request's decode steps: renewal counts from 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is right for a row: blocks attended, ascending; of each rule of the Selection, where the row was scored, the
    score [N] and what it took, best first; state after the step, [complete blocks, rows, cols]; attention [G, D]
    (latent: [G, kv_lora_rank])."""

    blocks: tuple[int, ...]
    scores: tuple[torch.Tensor, ...]
    state: Tensors
    output: torch.Tensor
    newer: int                            # blocks from here on are newer than the last selection: always attended
    taken: tuple[tuple[int, ...], ...] = ()

    @property
    def score(self) -> torch.Tensor | None:
        """Of the first rule."""
        return self.scores[0] if self.scores else None


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
    """The value of every node, in float32; a Selection has none."""
    values: list[torch.Tensor] = []
    for node in nodes:
        if node.type == SELECTION:
            value = torch.empty(0)
        elif node.op in ("input", "field", "state", "param"):
            value = leaf(node)
        elif node.op == "stored":
            value = rounded(values[node.args[0]])
        else:
            value = find(node.op).evaluate(scope, *(values[a] for a in node.args), **dict(node.attrs))
        values.append(value)
    return values


def summarise(graph: Graph, point: OperatingPoint, k: torch.Tensor, v: torch.Tensor, *, layer: int = 0,
              head: int = 0) -> dict[str, torch.Tensor]:
    """The summaries [rows, cols] of one completed block of keys and values [block_size, D], rounded as fields are."""
    dtype = ROUNDED_TO[point.dtype]
    stored = {"k": k, "v": v, "latent": k}

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return x.to(dtype).float()

    def leaf(node: Node) -> torch.Tensor:
        if node.op == "param":
            return parameter_of_head(graph, node, layer, head)
        return stored[node.attr("name")][None].float()

    values = _evaluate(graph.cache, None, leaf, rounded)
    return {name: rounded(values[node])[0] for name, node in graph.writes}


def _fields(graph: Graph, point: OperatingPoint, row: Row) -> dict[str, torch.Tensor]:
    """What is stored of every complete block, and every summary of it, [complete blocks, rows, cols]."""
    size, complete = point.block_size, len(row.k) // point.block_size
    keys, values = (x[:complete * size].reshape(complete, size, x.shape[1]).float() for x in (row.k, row.v))
    summaries = [summarise(graph, point, keys[i], values[i], layer=row.layer, head=row.head) for i in range(complete)]
    made = {f.name: torch.stack([s[f.name] for s in summaries]) if summaries else torch.empty(0, f.rows, f.cols)
            for f in graph.summaries}
    return {"k": keys, "v": values, "latent": keys, **made}


def _state_before(graph: Graph, point: OperatingPoint, row: Row, saved: Tensors) -> dict[str, torch.Tensor]:
    """State before the step, [complete blocks, rows, cols]: what was saved; the first value of blocks new since."""
    full, complete = {}, len(row.k) // point.block_size
    for f in graph.states:
        if isinstance(f.first, str):
            fresh = _fields(graph, point, row)[f.first]
        else:
            fresh = torch.full((complete, f.rows, f.cols), f.first).to(ROUNDED_TO[point.dtype]).float()
        known = saved.get(f.name, fresh[:0]).float()
        full[f.name] = torch.cat([known, fresh[len(known):]])
    return full


def take_best(score: Sequence[float], first: int, count: int) -> list[int]:
    """`count` positions from `first` on: the highest scores; equal ones by the lower position, NaN last."""
    def order(i: int) -> tuple[bool, float, int]:
        missing = math.isnan(score[i])
        return missing, 0.0 if missing else -score[i], i

    return sorted(range(first, len(score)), key=order)[:count]


def take_shares(score: Sequence[float], first: int, p: float, most: int) -> list[int]:
    """The best positions from `first` on, until their shares (softmax of the score; of NaN 0) reach `p` together."""
    best = take_best(score, first, len(score))
    if p >= 1 or not best:
        return best[:most]
    ordered = torch.tensor([score[i] for i in best])
    shares = torch.softmax(ordered.where(~ordered.isnan(), -math.inf), dim=0).nan_to_num(0.0)
    short = int((shares.cumsum(dim=0) < p).sum())
    return best[:min(short + 1, most)]


def take(rule: Rule, score: Sequence[float], first: int, most: int) -> list[int]:
    """What one rule takes of the scored blocks from `first` on, best first: at most `most`."""
    if rule.op == "top_p":
        return take_shares(score, first, rule.at, most)
    best = take_best(score, first, most)
    return [i for i in best if score[i] >= rule.at] if rule.op == "threshold" else best


def attend(row: Row, blocks: Sequence[int], block_size: int, scale: float | None = None) -> torch.Tensor:
    """Softmax attention over the tokens of `blocks`, in float32: [G, channels of v]. scale defaults to 1 / sqrt(D)."""
    tokens = [t for b in blocks for t in range(b * block_size, min((b + 1) * block_size, len(row.k)))]
    k, v = row.k[tokens].float(), row.v[tokens].float()
    scale = 1 / math.sqrt(row.q.shape[1]) if scale is None else scale
    return torch.softmax(row.q.float() @ k.T * scale, dim=1) @ v


def run(graph: Graph, point: OperatingPoint, row: Row, state: Tensors | None = None, *,
        last: Outcome | None = None, scale: float | None = None) -> Outcome:
    """One decode step of one row of a layer that selects. `state` is that of the step before.

    A row that fits its budget attends everything and neither scores nor saves. Rounding happens only into fields and
    state, to point.dtype. Between two renewals a row attends what it did at the `last` one, and what is newer.
    """
    n = num_blocks(len(row.k), point.block_size)
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    allowed, asked = budget(n, point, row.layer, row.head), rules(graph)
    before = _state_before(graph, point, row, state or {})
    if last is not None and row.step % point.renew_every:
        kept = [b for b in last.blocks if b < last.newer]
        return _outcome(point, row, (*kept, *range(last.newer, n)), before, scale=scale, newer=last.newer)
    if fits(asked, n, allowed, bos + eos):
        return _outcome(point, row, range(n), before, scale=scale)
    values = _scored(graph, point, row, before)
    after = dict(before)
    for name, node in graph.saves:
        kept_state = values[node].to(ROUNDED_TO[point.dtype]).float()
        after[name] = torch.cat([kept_state, before[name][n - eos:]])
    scores = tuple(values[rule.score].flatten() for rule in asked)
    taken = tuple(tuple(take(rule, score.tolist(), bos, rule.most(allowed, bos + eos)))
                  for rule, score in zip(asked, scores, strict=True))
    blocks = {*range(bos), *(block for part in taken for block in part), *range(n - eos, n)}
    return _outcome(point, row, sorted(blocks), after, scores, taken, scale=scale)


def _scored(graph: Graph, point: OperatingPoint, row: Row, before: Tensors) -> list[torch.Tensor]:
    """Every value of the indexer over the blocks 0 .. n - eos."""
    scored = num_blocks(len(row.k), point.block_size) - point.block_reserved_eos
    fields = _fields(graph, point, row)
    pools = {"input": {"q": row.q[None].float()}, "field": {name: value[:scored] for name, value in fields.items()},
             "state": {name: value[:scored] for name, value in before.items()}}

    def leaf(node: Node) -> torch.Tensor:
        if node.op == "param":
            return parameter_of_head(graph, node, row.layer, row.head)
        return pools[node.op][node.attr("name")]

    scope = RowScope(row=row, block_size=point.block_size, scored=scored, bos=point.block_reserved_bos)
    return _evaluate(graph.indexer, scope, leaf, lambda x: x)


def _outcome(point: OperatingPoint, row: Row, blocks: Sequence[int], state: Tensors,
             scores: tuple[torch.Tensor, ...] = (), taken: tuple[tuple[int, ...], ...] = (), *, scale: float | None,
             newer: int | None = None) -> Outcome:
    n = num_blocks(len(row.k), point.block_size)
    return Outcome(blocks=tuple(blocks), scores=scores, taken=taken, state=state,
                   output=attend(row, blocks, point.block_size, scale),
                   newer=max(0, n - point.block_reserved_eos) if newer is None else newer)


def step(graph: Graph, point: OperatingPoint, rows: Sequence[Row], last: Sequence[Outcome] = (), *,
         scale: float | None = None) -> tuple[Outcome, ...]:
    """One decode step of one kv head of a request through all layers, by the modes of the point.

    `rows` are by layer; `last` is what the step before gave. A layer that reuses takes the blocks of the last layer
    before it that selected; it keeps no state.
    """
    found: list[Outcome] = []
    for row in rows:
        mode, before = point.mode(row.layer), last[row.layer] if last else None
        if mode == "select":
            found.append(run(graph, point, row, before.state if before else None, last=before, scale=scale))
            continue
        blocks: Sequence[int] = range(num_blocks(len(row.k), point.block_size))
        if mode == "reuse":
            blocks = next(o.blocks for r, o in zip(reversed(rows[:row.layer]), reversed(found), strict=True)
                          if point.mode(r.layer) == "select")
        found.append(_outcome(point, row, blocks, {}, scale=scale))
    return tuple(found)
