"""What ops may know of the rows a Program scores; each is computed when an op asks for it."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vortex.compiler.attention import block_mass, request_tokens
from vortex.compiler.layout import CpuPlan, Scored
from vortex.language.ops.noise import noise_key, wrapped


def _column(values: Sequence[int], device: torch.device) -> torch.Tensor:
    """int64 [R, 1, 1, 1, 1]; whole numbers of any size are wrapped to 64 signed bits."""
    return torch.tensor([wrapped(value) for value in values], dtype=torch.int64, device=device)[:, None, None, None, None]


@dataclass(frozen=True, kw_only=True)
class CpuScope:
    """One layer of one step. q [B, H, G, D]; k [H, P, S, D]; values have axes [R, H, M, rows, cols]."""

    plan: CpuPlan
    scored: Scored
    layer: int
    q: torch.Tensor
    k: torch.Tensor

    @property
    def middle(self) -> torch.Tensor:
        return self.scored.middle

    @property
    def position(self) -> torch.Tensor:
        return self.scored.position

    @property
    def noise_key(self) -> torch.Tensor:
        device = self.q.device
        seeds, lens = ([values[r] for r in self.scored.requests] for values in (self.plan.seeds, self.plan.lens))
        heads = torch.arange(self.q.shape[1], device=device)[None, :, None, None, None]
        key = noise_key(_column(seeds, device), _column(lens, device), self.layer, heads, self.position.long())
        assert isinstance(key, torch.Tensor)
        return key

    @property
    def mass(self) -> torch.Tensor:
        out = torch.zeros(len(self.scored.requests), self.q.shape[1], self.position.shape[2], device=self.q.device)
        for row, (request, blocks) in enumerate(zip(self.scored.requests, self.scored.blocks, strict=True)):
            keys = request_tokens(self.k, self.plan.runs[request], self.plan.lens[request])
            out[row, :, :blocks] = block_mass(self.q[request], keys, self.k.shape[2])[:, :blocks]
        return out[..., None, None]


@dataclass(frozen=True)
class CompletionScope:
    """Completed blocks know nothing of one another, nor of the row they stand in."""

    @property
    def middle(self) -> torch.Tensor:
        raise AssertionError("forward_cache has no ops across blocks")

    position = noise_key = mass = middle
