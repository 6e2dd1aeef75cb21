"""How many blocks a row may attend in a decode step; `topk_val` excludes the reserved blocks, the ratio includes them."""
import ctypes

from vortex.config import OperatingPoint


def num_blocks(length: int, block_size: int) -> int:
    """Blocks of a row of `length` tokens, the open last one counted."""
    return -(-length // block_size)


def budget(blocks: int, point: OperatingPoint) -> int:
    """Blocks a row of `blocks` blocks may attend: never under the reserved ones; the caller caps it at `blocks`.

    The product is that of C floats, truncated, as the upstream's planner computes it.
    """
    reserved = point.block_reserved_bos + point.block_reserved_eos
    ratio = ctypes.c_float(point.topk_ratio).value
    share = int(ctypes.c_float(blocks * ratio).value)
    return max(point.topk_val + reserved, share)


def attended(blocks: int, point: OperatingPoint) -> int:
    """Blocks really attended: all of a row that fits its budget."""
    return min(blocks, budget(blocks, point))
