"""What an op across blocks must know of a whole row before the next launch: its largest number, its sum, its length."""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
from pathlib import Path

import triton
import triton.language as tl

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.numbers import larger, smaller

TILE = 1024                               # blocks of a row that are read at once
OUTPUTS = {"softmax": 2}                  # numbers an entry; of the others one


@triton.jit
def _tile(values, at, end, size, neutral, TILE: tl.constexpr):
    block = at + tl.arange(0, TILE)
    return tl.load(values + block * size, mask=block < end, other=neutral)


@triton.jit
def overall(values, out, ends, N, size, scale, KIND: tl.constexpr, BOS: tl.constexpr, TILE: tl.constexpr):
    """values float32 [R, N, size], out float32 [R, outputs, size]: one program a row and entry; blocks BOS .. ends[row].

    A row without such blocks gets 0.
    """
    row = tl.program_id(0).to(tl.int64)
    entry = tl.program_id(1)
    end = tl.load(ends + row)
    own = values + row * N * size + entry
    most = tl.full((1,), 0.0, tl.float32)
    total = tl.full((TILE,), 0.0, tl.float32)
    lowest = tl.full((TILE,), float("inf"), tl.float32)
    highest = tl.full((TILE,), float("-inf"), tl.float32)
    if KIND == "max" or KIND == "logsumexp" or KIND == "softmax":
        for at in range(BOS, end, TILE):
            block = at + tl.arange(0, TILE)
            value = _tile(own, at, end, size, 0.0, TILE) * scale
            highest = larger(highest, tl.where(block < end, value, float("-inf")))
        most = tl.reduce(highest, 0, larger, keep_dims=True)
    elif KIND == "min":
        for at in range(BOS, end, TILE):
            lowest = smaller(lowest, _tile(own, at, end, size, float("inf"), TILE))
        most = tl.reduce(lowest, 0, smaller, keep_dims=True)
    if KIND == "logsumexp":
        most = tl.where(tl.abs(most) == float("inf"), 0.0, most)
    if KIND == "logsumexp" or KIND == "softmax":
        for at in range(BOS, end, TILE):
            block = at + tl.arange(0, TILE)
            value = tl.exp(_tile(own, at, end, size, 0.0, TILE) * scale - most)
            total += tl.where(block < end, value, 0.0)
    elif KIND == "sum" or KIND == "mean":
        for at in range(BOS, end, TILE):
            total += _tile(own, at, end, size, 0.0, TILE)
    elif KIND == "norm":
        for at in range(BOS, end, TILE):
            value = _tile(own, at, end, size, 0.0, TILE)
            total += value * value
    sum_ = tl.sum(total, 0, keep_dims=True)
    first = most
    if KIND == "logsumexp":
        first = tl.log(sum_) + most
    elif KIND == "sum":
        first = sum_
    elif KIND == "mean":
        first = sum_ / tl.maximum(end - BOS, 1).to(tl.float32)
    elif KIND == "norm":
        first = tl.sqrt_rn(sum_)
    one = tl.arange(0, 1)
    if KIND == "softmax":
        tl.store(out + row * 2 * size + entry + one, first)
        tl.store(out + row * 2 * size + size + entry + one, sum_)
    else:
        tl.store(out + row * size + entry + one, tl.where(end > BOS, first, 0.0))


def statistic_kernel(name: str, kind: str, bos: int) -> Kernel:
    """As it is built ahead of time."""
    return Kernel(
        name=name, source=Path(__file__).read_text(), entry="overall", covers=(kind,),
        signature={"values": "*fp32", "out": "*fp32", "ends": "*i32", "N": "i32", "size": "i32", "scale": "fp32"},
        constants={"KIND": kind, "BOS": bos, "TILE": TILE}, aligned=("values", "out", "ends", "N"),
        note="it needs every block of the row", warps=4)
