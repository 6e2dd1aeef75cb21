"""Sparse and dense decode attention over a paged cache: how the kernels of attention_kernels.py are launched.

Letters of shapes: B requests, H kv heads, G query heads of a kv head, D channels of a key, V of a value, P blocks of the pool,
S tokens of a block, N blocks a request may have, L entries of the longest list. A pool may lie as an engine likes: it is
indexed [H, P, S, D], and its strides are free but for that of the channels, which is 1.
"""
import math
from dataclasses import dataclass
from functools import cache

import torch
import triton

from vortex.compiler.kernels import attention_kernels as device_side
from vortex.compiler.kernels.attention_shape import WEIGHED, AttentionShape, Tile, chip_of, padded, processors_of
from vortex.compiler.kernels.workspace import Arena

LOG2E = math.log2(math.e)
JOINED = 16                               # splits that join_splits reads at a time


@dataclass(frozen=True, kw_only=True)
class AttentionScratch:
    """Where the splits of a row leave their parts, at fixed addresses. Made once for a size of batch, by make_scratch."""

    splits: int
    parts: torch.Tensor                   # float32 [B * H, splits, G, V]; empty where there is one split
    levels: torch.Tensor                  # float32 [B * H, splits, G]: log-sum-exp in base 2
    lse: torch.Tensor                     # float32 [B, H, G]: for masses, where the caller does not ask for it
    cut: Tile | None                      # in place of the table's


def make_scratch(shape: AttentionShape, requests: int, heads: int, listed: int, device: torch.device,
                 splits: int | None = None, arena: Arena | None = None) -> AttentionScratch:
    """For lists of at most `listed` entries, or contexts of so many blocks; `splits` in place of what fills the chip."""
    rows = requests * heads
    splits = splits or shape.splits(rows, listed, processors_of(device))

    held = arena or Arena(device)

    def floats(name: str, *size: int) -> torch.Tensor:
        return held.take(("attention", name), size, torch.float32)

    parts = floats("parts", rows if splits > 1 else 0, splits, shape.group, shape.values)
    return AttentionScratch(splits=splits, parts=parts, levels=floats("levels", rows, splits, shape.group),
                            lse=floats("lse", requests, heads, shape.group), cut=shape.cut)


def shape_of(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor | None, *, sparse: bool, rank: int = 0,
             cut: Tile | None = None) -> AttentionShape:
    """The shape that `attend` takes these tensors for."""
    values = rank or (k if v is None else v).shape[3]
    return _shape(q.shape[2], k.shape[3], values, k.shape[2], sparse, q.dtype, k.dtype, rank, q.device, cut)


@cache
def _shape(group: int, channels: int, values: int, block_size: int, sparse: bool,  # noqa: PLR0913 - one key of a cache
           dtype: torch.dtype, pool: torch.dtype, rank: int, device: torch.device, cut: Tile | None) -> AttentionShape:
    # fp8 becomes what the queries are without loss; other types that differ meet in float32, and so does all that is interpreted.
    alike = pool.itemsize == 1 or pool == dtype
    upcast = bool(triton.knobs.runtime.interpret) or dtype == torch.float32 or not alike
    return AttentionShape(group=group, channels=channels, values=values, block_size=block_size, sparse=sparse, dtype=dtype,
                          cache=pool, rank=rank, upcast=upcast, chip=chip_of(device), cut=cut)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor | None, tables: torch.Tensor,  # noqa: PLR0913 - all of a layer
           lens: torch.Tensor, out: torch.Tensor | None, *, scale: float, index: torch.Tensor | None = None,
           counts: torch.Tensor | None = None, rank: int = 0, k_scale: float = 1.0, v_scale: float = 1.0,
           scratch: AttentionScratch | None = None, lse: torch.Tensor | None = None, mass: torch.Tensor | None = None) -> None:
    """Writes attention of q [B, H, G, D] over the listed blocks of each row to `out` [B, H, G, V]; zeros where none is listed.

    k, v: pools [H, P, S, D] and [H, P, S, V], fp8 ones to be multiplied by k_scale and v_scale; with a `rank` `v` is not read.
    tables int32 [B, N], lens int32 [B] tokens. index [B, H, L] or [B * H, L]: ascending positions within the request, counts
    [B, H] of them; both None: all blocks. On request `lse` float32 [B, H, G], the natural log-sum-exp of the scaled logits,
    and `mass` float32 [B, H, L] ([B, H, N] of all blocks): each entry's softmax mass, mean over G, 0 beyond the list.
    No synchronisation and, with a `scratch`, no allocation.
    """
    requests, heads = q.shape[:2]
    most = tables.shape[1] if index is None else index.shape[-1]
    shape = shape_of(q, k, v, sparse=index is not None, rank=rank, cut=scratch.cut if scratch else None)
    scratch = scratch or make_scratch(shape, requests, heads, most, q.device)
    if mass is not None and lse is None:
        lse = scratch.lse
    paged = _Paged(shape, q, k, tables, lens, index, counts, scale * k_scale * LOG2E, most)
    _split_and_join(paged, v, out, lse, v_scale, scratch)
    if mass is not None:
        assert lse is not None
        mass.zero_()
        _weigh(paged, lse, mass, None, scratch.splits)


def block_mass(q: torch.Tensor, k: torch.Tensor, tables: torch.Tensor, lens: torch.Tensor, mass: torch.Tensor, *,
               scratch: AttentionScratch, scored: torch.Tensor | None = None) -> None:
    """Writes each block's exact softmax mass over the whole context, mean over G, to `mass` float32 [B * H, N]: the op `mass`.

    Logits are scaled by the square root of D. scored int32 [B * H]: only the first so many blocks of a row are written.
    """
    shape = shape_of(q, k, None, sparse=False, cut=scratch.cut)
    paged = _Paged(shape, q, k, tables, lens, None, None, LOG2E / math.sqrt(shape.channels), tables.shape[1])
    _split_and_join(paged, None, None, scratch.lse, 1.0, scratch)
    _weigh(paged, scratch.lse, mass, scored, scratch.splits)


@dataclass(frozen=True)
class _Paged:
    """What every kernel that reads keys is given."""

    shape: AttentionShape
    q: torch.Tensor
    k: torch.Tensor
    tables: torch.Tensor
    lens: torch.Tensor
    index: torch.Tensor | None
    counts: torch.Tensor | None
    scale: float
    most: int

    def __post_init__(self) -> None:
        assert self.q.is_contiguous() and self.k.stride(3) == 1 and self.tables.stride(1) == 1
        assert (self.index is None) == (self.counts is None)
        if self.index is not None and self.counts is not None:
            assert self.index.stride(-1) == 1 and self.counts.is_contiguous()
            assert self.index.dim() == 2 or self.index.stride(0) == self.index.stride(1) * self.index.shape[1]

    @property
    def rows(self) -> int:
        return self.q.shape[0] * self.q.shape[1]

    def arguments(self, heads: int = 64) -> dict[str, object]:
        k = self.k
        return {"q": self.q, "k": k, "tables": self.tables, "index": self.index, "counts": self.counts, "lens": self.lens,
                "scale": self.scale, "heads": self.q.shape[1], "most": self.most, "table_stride": self.tables.stride(0),
                "index_stride": 0 if self.index is None else self.index.stride(-2),
                "k_head": k.stride(0), "k_block": k.stride(1), "k_token": k.stride(2), **self.shape.constants(heads)}


def _split_and_join(paged: _Paged, v: torch.Tensor | None, out: torch.Tensor | None, lse: torch.Tensor | None, v_scale: float,
                    scratch: AttentionScratch) -> None:
    """Attention in one kernel where one split is enough, else in two; out None: the log-sum-exp alone."""
    shape, splits = paged.shape, scratch.splits
    direct = splits == 1
    parts = None if out is None else scratch.parts
    pool = paged.k if v is None or shape.rank else v
    assert out is None or (out.is_contiguous() and pool.stride(3) == 1)
    device_side.attend_split[paged.rows * shape.groups, splits](
        **paged.arguments(), v=pool, out=out if direct else parts, lse=lse if direct else scratch.levels, v_scale=v_scale,
        v_head=pool.stride(0), v_block=pool.stride(1), v_token=pool.stride(2), V=shape.values, V_PAD=padded(shape.values),
        LATENT=shape.rank > 0, DIRECT=direct, num_warps=shape.tile.warps, num_stages=shape.tile.stages)
    if not direct:
        device_side.join_splits[paged.rows * shape.group,](parts, scratch.levels, out, lse, splits, G=shape.group, V=shape.values,
                                                          V_PAD=padded(shape.values), N=JOINED)


def _weigh(paged: _Paged, lse: torch.Tensor, mass: torch.Tensor, scored: torch.Tensor | None, splits: int) -> None:
    assert lse.is_contiguous() and mass.stride(-1) == 1
    device_side.weigh_blocks[paged.rows, splits](
        **paged.arguments(WEIGHED), scored=scored, lse=lse, mass=mass, mass_stride=mass.stride(-2),
        num_warps=paged.shape.tile.warps, num_stages=paged.shape.tile.stages)
