"""May the launch that scores select as well? Where a row's keys fit on chip, whoever finishes the row selects."""
from collections.abc import Sequence

from vortex.compiler.kernels.generate import FINISHING_WARPS, Text, with_selection
from vortex.compiler.kernels.selection import ALIGNED_TO, selection_text, tiles_of
from vortex.compiler.kernels.workspace import WorkShape
from vortex.compiler.selection import Rule
from vortex.config import OperatingPoint

KEYS_A_THREAD = 8                         # more would take the registers that hide the latency of scoring


def finishes(blocks: int) -> bool:
    """Is selection of rows of so many blocks worth its registers in the launch that scores?"""
    tiles = tiles_of(blocks)
    return tiles[-1] != 0 and tiles[-1] <= KEYS_A_THREAD * 32 * FINISHING_WARPS


def finishing(score: Text, rules: Sequence[Rule], shape: WorkShape, point: OperatingPoint) -> Text:
    """`score` with the selection of `rules` at its end."""
    step = ALIGNED_TO if shape.blocks % ALIGNED_TO == 0 else 1
    selection = selection_text(rules, tiles_of(shape.blocks), point.block_reserved_bos, point.block_reserved_eos, step=step)
    return with_selection(score, selection, [rule.op for rule in rules])
