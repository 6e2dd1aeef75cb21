"""How many blocks a row may attend in a decode step; `topk_val` excludes the reserved blocks, the ratio includes them."""
import ctypes
from collections.abc import Sequence

from vortex.config import OperatingPoint
from vortex.errors import BudgetError


def num_blocks(length: int, block_size: int) -> int:
    """Blocks of a row of `length` tokens, the open last one counted."""
    return -(-length // block_size)


def _entry(table: Sequence[float | tuple[float, ...]], layer: int, head: int) -> float | None:
    """What a table by layer says: its last entry holds for further layers, an entry is one value or one per kv head."""
    if not table:
        return None
    entry = table[min(layer, len(table) - 1)]
    if not isinstance(entry, tuple):
        return entry
    if head >= len(entry):
        raise BudgetError(f"layer {layer} has values for {len(entry)} kv heads, and there is a head {head}",
                          hint="An entry of topk_layers or ratio_layers is one value, or one per kv head.")
    return entry[head]


def budget(blocks: int, point: OperatingPoint, layer: int = 0, head: int = 0) -> int:
    """Blocks a row of `blocks` blocks may attend: never under the reserved ones; the caller caps it at `blocks`.

    The product is that of C floats, truncated, as the upstream's planner computes it. Raises BudgetError.
    """
    reserved = point.block_reserved_bos + point.block_reserved_eos
    val, share = _entry(point.topk_layers, layer, head), _entry(point.ratio_layers, layer, head)
    ratio = ctypes.c_float(point.topk_ratio if share is None else share).value
    chosen = point.topk_val if val is None else int(val)
    return max(chosen + reserved, int(ctypes.c_float(blocks * ratio).value))


def attended(blocks: int, point: OperatingPoint, layer: int = 0, head: int = 0) -> int:
    """Blocks really attended: all of a row that fits its budget."""
    return min(blocks, budget(blocks, point, layer, head))
