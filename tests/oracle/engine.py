"""The serving half of the oracle: a pool of token slots, completion of blocks, budgets, lists and attention.

Letters of shapes: T tokens of a request, H kv heads, G query heads of a group, D channels.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.oracle.cache import Block, BlockCache, Round
from tests.oracle.package import Flow, vFlowMLA
from tests.oracle.row import IndexerCache, Row
from tests.oracle.values import Array, Format, Tensor


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Sizes and the budget. `rank` is not 0 for latent attention: then one kv head, whose values are the first channels."""

    block: int
    channels: int
    heads: int
    blocks_per_page: int = 1
    rank: int = 0
    topk_val: int = 0
    topk_ratio: float = 0.0
    bos: int = 1
    eos: int = 2

    @property
    def page(self) -> int:
        return self.block * self.blocks_per_page

    def allowed(self, blocks: int) -> int:
        """The planner's: a product of floats, truncated; the ratio counts reserved blocks, topk_val does not."""
        share = int(np.float32(blocks) * np.float32(self.topk_ratio))
        return max(self.topk_val + self.bos + self.eos, share)


@dataclass
class Answer:
    """What one row attends: `score` is that of its scored blocks, None for a row that fits."""

    blocks: list[int]
    score: Array | None


def to_float32(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)


@dataclass
class Engine:
    """A paged pool: of page p and kv head h, the tokens and blocks lie side by side."""

    flow: Flow
    setting: Setting
    pages: int
    rounded: Round = to_float32
    budget: Callable[[int, int], int] | None = None          # (blocks, kv head) in place of the setting's own
    pool: dict[str, Array] = field(init=False)
    fields: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        s = self.setting
        tokens = self.pages * s.page * s.heads
        self.pool = {name: np.zeros((tokens, s.channels)) for name in self.stored}
        self.flow.block_size, self.flow.head_dim = s.block, s.channels
        sizes = (s.block, s.rank, s.channels - s.rank) if s.rank else (s.block, s.channels)
        shapes: dict[str, tuple[int, int]] = self.flow.create_cache(*sizes)
        assert not set(shapes) & {"k", "v", "latent", "kv_c", "k_pe"}
        self.fields = {name: np.full((tokens // s.block, *shape), 1e4) for name, shape in shapes.items()}

    @property
    def stored(self) -> tuple[str, ...]:
        return ("latent",) if isinstance(self.flow, vFlowMLA) else ("k", "v")

    def token_row(self, slot: int, head: int) -> int:
        page = self.setting.page
        return (slot // page) * (page * self.setting.heads) + head * page + slot % page

    def block_id(self, slot: int, head: int) -> int:
        s = self.setting
        return ((slot // s.page) * s.heads + head) * s.blocks_per_page + (slot % s.page) // s.block

    def write(self, slots: list[int], **stored: Array) -> None:
        """Tokens [len(slots), H, D] of every stored tensor; then blocks whose last slot was among them are summarised."""
        for t, slot in enumerate(slots):
            for head in range(self.setting.heads):
                for name, values in stored.items():
                    self.pool[name][self.token_row(slot, head)] = values[t, head]
        for slot in slots:
            if (slot + 1) % self.setting.block == 0:
                for head in range(self.setting.heads):
                    self._complete(slot, head)

    def _complete(self, slot: int, head: int) -> None:
        block, first = self.block_id(slot, head), self.token_row(slot + 1 - self.setting.block, head)
        env = {name: pool[first:first + self.setting.block] for name, pool in self.pool.items()}
        env |= {name: values[block].copy() for name, values in self.fields.items()}
        ctx = Block(env, self.rounded)
        self.flow.forward_cache(BlockCache(ctx), _loc(slot), ctx)
        for name, values in self.fields.items():
            values[block] = env[name]

    def index(self, slots: list[int], head: int, q: Array) -> Answer:
        """The blocks that a row of these token slots attends with query q [G, D]; what it saves is kept."""
        s = self.setting
        n = math.ceil(len(slots) / s.block)
        allowed = self.budget(n, head) if self.budget else s.allowed(n)
        row = Row(blocks=n, bos=s.bos, eos=s.eos, allowed=allowed)
        if n <= s.bos + s.eos:
            return Answer(list(range(n)), None)
        ids = [self.block_id(slots[i * s.block], head) for i in range(row.scored)]
        fields = {name: values[ids] for name, values in self.fields.items()}
        for name, pool in self.pool.items():
            firsts = [self.token_row(slots[i * s.block], head) for i in range(row.scored)]
            fields[name] = np.stack([pool[first:first + s.block] for first in firsts])
        self.flow.forward_indexer(Tensor(q[None], Format.BATCHED), None, IndexerCache(fields), row)
        assert row.taken is not None, "the flow ends in no topK"
        if row.fits:
            return Answer(list(range(n)), None)
        for name, values in row.saves.items():
            self.fields[name][ids] = self.rounded(values)
        return Answer(row.taken, row.score)

    def attend(self, slots: list[int], head: int, q: Array, blocks: list[int], scale: float) -> Array:
        """Softmax attention of q [G, D] over the tokens of `blocks`: [G, D], or [G, rank] with latent attention."""
        size = self.setting.block
        tokens = [t for block in blocks for t in range(block * size, min((block + 1) * size, len(slots)))]
        rows = [self.token_row(slots[t], head) for t in tokens]
        latent = "latent" in self.pool
        k = self.pool["latent" if latent else "k"][rows]
        v = k[:, :self.setting.rank] if latent else self.pool["v"][rows]
        out = np.zeros((len(q), v.shape[1]))
        for g in range(len(q)):
            logits = scale * (k @ q[g])
            weights = np.exp(logits - logits.max())
            out[g] = weights @ v / weights.sum()
        return out


def _loc(slot: int) -> Any:
    return np.array([slot])
