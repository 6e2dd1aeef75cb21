"""Tensors from outside as one decode step takes them: checked, in float32, with the geometry that they have.

Letters of shapes: B requests, H kv heads, G query heads a kv head, D channels, T tokens of a request.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vortex.errors import EngineError
from vortex.ir import Geometry

Tensor = Any                              # a torch tensor or NumPy array of a float dtype
CONTEXT = "It is [tokens, kv heads, head_dim]; none of them is 0."


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One step of a batch: q [B, H, G, D]; k and v [T, H, D] of each request (latent: v is k, and is not read)."""

    q: torch.Tensor
    k: tuple[torch.Tensor, ...]
    v: tuple[torch.Tensor, ...]
    rank: int                             # kv_lora_rank; 0: not latent

    @property
    def lens(self) -> tuple[int, ...]:
        return tuple(x.shape[0] for x in self.k)

    @property
    def heads(self) -> int:
        return self.q.shape[1]

    def geometry(self, block_size: int) -> Geometry:
        group, channels = self.q.shape[2:]
        return Geometry(block_size, channels, group, self.rank, channels - self.rank if self.rank else 0)


def checked(q: Tensor, k: Sequence[Tensor], v: Sequence[Tensor] | None, latent: bool, kv_lora_rank: int | None) -> Inputs:
    """Raises EngineError for the first thing that does not fit."""
    query = _floats(q, "q", "It is [batch, query heads, head_dim]; none of them is 0.")
    batch, query_heads, channels = query.shape
    keys = tuple(_floats(x, f"k[{i}]", CONTEXT) for i, x in enumerate(_one_a_request(k, "k", batch)))
    heads = keys[0].shape[1]
    for i, x in enumerate(keys):
        if tuple(x.shape[1:]) != (heads, channels):
            raise EngineError(f"k[{i}] has the shape {list(x.shape)}; {heads} kv heads of {channels} channels are due",
                              hint="Requests share the model: all have the kv heads of k[0] and the head_dim of q.")
    if latent and heads != 1:
        raise EngineError(f"k[0] has {heads} kv heads", hint="A latent flow takes k as [tokens, 1, latent_dim].")
    if query_heads % heads:
        raise EngineError(f"{query_heads} query heads are not shared evenly by {heads} kv heads",
                          hint="q holds the same number of query heads for each kv head, side by side.")
    rows = query.reshape(batch, heads, query_heads // heads, channels)
    if latent:
        return Inputs(q=rows, k=keys, v=keys, rank=_rank(v, channels, kv_lora_rank))
    if kv_lora_rank is not None:
        raise EngineError("kv_lora_rank is given, and the flow is not latent", hint="It goes with a vFlowMLA.")
    return Inputs(q=rows, k=keys, v=_values(v, keys), rank=0)


def _values(v: Sequence[Tensor] | None, keys: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    if v is None:
        raise EngineError("there is no v", hint="Only a latent flow (vFlowMLA) goes without.")
    values = tuple(_floats(x, f"v[{i}]", CONTEXT) for i, x in enumerate(_one_a_request(v, "v", len(keys))))
    for i, (value, key) in enumerate(zip(values, keys, strict=True)):
        if value.shape != key.shape:
            raise EngineError(f"v[{i}] has the shape {list(value.shape)}, and k[{i}] {list(key.shape)}",
                              hint="Keys and values are of one shape.")
    return values


def _rank(v: Sequence[Tensor] | None, channels: int, given: int | None) -> int:
    widths = {x.shape[-1] for x in (v if v is not None else ()) if x is not None}
    if given is None and len(widths) == 1 and widths < {*range(1, channels)}:
        given = int(widths.pop())
    if given is None and channels % 9 == 0:
        given = channels // 9 * 8
    if given is None or not 1 <= given <= channels:
        raise EngineError(f"kv_lora_rank is not known for {channels} channels" if given is None else
                          f"kv_lora_rank is {given}, and there are {channels} channels",
                          hint="Give kv_lora_rank=: latent rows are [kv_lora_rank | qk_rope_head_dim].")
    return given


def _one_a_request(x: Sequence[Tensor], called: str, batch: int) -> list[Tensor]:
    if isinstance(x, torch.Tensor | np.ndarray) and x.ndim == 4:
        x = list(x)
    if not isinstance(x, list | tuple) or len(x) != batch:
        found = f"{len(x)} entries" if isinstance(x, list | tuple) else f"a {type(x).__name__}"
        raise EngineError(f"{called} is {found}, and q has {batch} requests",
                          hint=f"{called} is a list of one tensor [tokens, kv heads, head_dim] for each request.")
    return list(x)


def _floats(x: Tensor, called: str, hint: str) -> torch.Tensor:
    """float32 of three axes, on the CPU. Raises EngineError."""
    if isinstance(x, np.ndarray) and (x.dtype.kind == "f" or "float" in x.dtype.name):
        x = torch.from_numpy(np.array(x, dtype=np.float32))
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise EngineError(f"{called} is {getattr(x, 'dtype', None) or type(x).__name__}, and floats are due",
                          hint="Give NumPy arrays or torch tensors of a float dtype.")
    if x.dim() != 3 or 0 in x.shape:
        raise EngineError(f"{called} has the shape {list(x.shape)}", hint=hint)
    return x.detach().to("cpu", torch.float32)
