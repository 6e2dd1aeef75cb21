"""The hook into transformers' attention: every layer's query, key and value pass through a Step that owns the pool.

A Step travels as a keyword of the model's forward, so nothing is global but the name under which the hook is known.
"""
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as functional
from transformers import AttentionInterface, PreTrainedModel

from vortex.compiler.program import Lists, Plan, Program
from vortex.serving.embedded.pool import Pool
from vortex.serving.embedded.prompts import KeyValue
from vortex.serving.embedded.renewal import Due, Renewal
from vortex.serving.layers import Layers
from vortex.serving.recording import Moment, Recorder

NAME = "vortex"


class Step(Protocol):
    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        """q [B, H*G, T, D], k, v [B, H, T, D] of the new tokens -> [B, T, H*G, D]."""


def _attention(module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, *,
               scaling: float, vortex_step: Step, **_: object) -> tuple[torch.Tensor, None]:
    layer = module.layer_idx
    assert isinstance(layer, int)
    return vortex_step.attend(layer, query, key, value, scaling), None


def register() -> None:
    """Makes `attn_implementation="vortex"` known to transformers; doing it again changes nothing.

    No mask goes with it: transformers then leaves masks out, and with them a look at the positions that waits for the GPU.
    """
    AttentionInterface.register(NAME, _attention)


def forward(model: PreTrainedModel, tokens: torch.Tensor, positions: torch.Tensor, step: Step) -> torch.Tensor:
    """Logits [B, V] after the last of `tokens` int64 [B, T] at `positions` [B, T]; their attention is the step's."""
    out = model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=1, vortex_step=step)
    logits: torch.Tensor = out.logits[:, -1]
    return logits


def write_tokens(pool: torch.Tensor, slots: torch.Tensor, new: torch.Tensor) -> None:
    """Stores tokens [B, H, T, D] at `slots`, int64 [B*T], of a pool [H, P, S, D]."""
    heads, blocks, size, channels = pool.shape
    rows = new.transpose(0, 1).reshape(heads, -1, channels)
    pool.view(heads, blocks * size, channels).index_copy_(1, slots, rows)


@dataclass(frozen=True, kw_only=True)
class PrefillStep:
    """Dense causal attention of new tokens over themselves and, where blocks were shared, over those before them."""

    pool: Pool
    program: Program
    sparse: frozenset[int]                # layers that keep summaries
    slots: torch.Tensor                   # int64 [B*T]
    shared: torch.Tensor                  # int64 [B, blocks before]: 0 columns where nothing is shared
    done: torch.Tensor                    # int64 [M]: blocks completed by these tokens
    made: list[KeyValue] = field(default_factory=list)    # of each layer, for the prompt cache

    def store(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> None:
        """Puts k, v [B, H, T, D] of the new tokens into the pool and summarises the blocks they complete."""
        pool = self.pool
        write_tokens(pool.k[layer], self.slots, k)
        write_tokens(pool.v[layer], self.slots, v)
        if layer in self.sparse and self.done.numel():
            self.program.update(pool.fields[layer], pool.state[layer], pool.k[layer], pool.v[layer], self.done, layer)

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        pool = self.pool
        self.store(layer, k, v)
        self.made.append((k, v))
        if not self.shared.shape[1]:
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
            return out.transpose(1, 2)
        before = self.shared.shape[1] * pool.shape.block_size
        keys = torch.cat([self._before(pool.k[layer]), k], dim=2)
        values = torch.cat([self._before(pool.v[layer]), v], dim=2)
        visible = torch.ones(k.shape[2], before + k.shape[2], dtype=torch.bool, device=q.device).tril(diagonal=before)
        out = functional.scaled_dot_product_attention(q, keys, values, visible, scale=scale, enable_gqa=True)
        return out.transpose(1, 2)

    def _before(self, pool: torch.Tensor) -> torch.Tensor:
        """The tokens of the shared blocks, [B, H, T, D]."""
        heads, _, _, channels = pool.shape
        batch = self.shared.shape[0]
        return pool[:, self.shared.flatten()].view(heads, batch, -1, channels).transpose(0, 1)


@dataclass(kw_only=True)
class DecodeStep:
    """One token a request: stored, summarised where it completes a block, then attended as the Program says."""

    pool: Pool
    program: Program
    layers: Layers
    plan: Plan
    slots: torch.Tensor                   # int64 [B]
    done: torch.Tensor                    # int64 [M]
    due: Due
    renewal: Renewal
    requests: tuple[str, ...] = ()
    recorder: Recorder | None = None
    dense: bool = False                   # attends everything, and still summarises what completes
    _selected: Lists | None = None        # by the last layer that selects

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        pool_k, pool_v = self.pool.k[layer], self.pool.v[layer]
        write_tokens(pool_k, self.slots, k)
        write_tokens(pool_v, self.slots, v)
        batch, heads = k.shape[:2]
        rows = q.reshape(batch, heads, -1, q.shape[3])
        lists = None
        if layer in self.layers.select:
            lists = self._selected = self._select(layer, rows)
        elif layer in self.layers.reuse:
            lists = self._selected
        if self.recorder is not None:
            self.recorder.note(Moment(layer=layer, requests=self.requests, plan=self.plan, q=rows, k=pool_k, v=pool_v,
                                      lists=lists, dense=self.dense))
        return self.program.attend(self.plan, rows, pool_k, pool_v, lists, scale).reshape(batch, 1, -1, q.shape[3])

    def _select(self, layer: int, q: torch.Tensor) -> Lists | None:
        """None: every row attends everything."""
        k, v, fields, state = self.pool.k[layer], self.pool.v[layer], self.pool.fields[layer], self.pool.state[layer]
        if self.done.numel():
            self.program.update(fields, state, k, v, self.done, layer)
        if self.dense:
            return None

        def chosen(due: Due, plan: Plan) -> Lists | None:
            if self.program.fits(plan, layer):
                return None
            rows = q if len(due.rows) == q.shape[0] else q[list(due.rows)]
            return self.program.select(plan, rows, k, v, fields, state, layer)

        return self.renewal.lists(layer, self.requests, self.plan, self.due, chosen)
