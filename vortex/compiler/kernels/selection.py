"""From scores to lists on the device: the text of a flow's selection, as a kernel of its own or the end of another.

A text holds one function for each length of row that it knows: rows of up to so many blocks keep their keys on chip, and
past the last length they are streamed, tile by tile, as often as the descent needs.
"""
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import triton

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.selection_kernels import SHARE_BITS, TOLERANCE_BITS
from vortex.compiler.kernels.workspace import Worklist, WorkShape
from vortex.compiler.selection import EVERYTHING, Rule
from vortex.config import OperatingPoint

SHORT, LONG = 1024, 8192                  # rows on chip; a row of SHORT costs what a whole tile of LONG would not repay
STREAMED_TILE = 4096
SHORTEST = 32
LARGEST = 3.4028234663852886e38           # of float32
ALIGNED_TO = 16                           # scores: rows of a multiple of so many are read in whole vectors
HEADER = '''"""Selection of blocks: {rules}; reserved {bos} + {eos}."""
import triton
import triton.language as tl

from vortex.compiler.kernels.selection_kernels import best_cut, load_keys, share_cut, taken_of, write_run, write_taken
'''
ARGUMENTS = "scores, end, most, blocks, counts, index, row, ROWS, HEADS, N, L"
ROW = f'''

@triton.jit
def select_row({ARGUMENTS}):
    """Lists what the rules take of one row that is scored; other rows are left alone.

    scores fp32 [U, ROWS, N], end i32 [ROWS], most i32 [U, ROWS], blocks i32 [B], counts i32 [ROWS], index i32 [ROWS, L].
    """
    last = tl.load(end + row)
    if last > 0:
{{branches}}'''
ROWS = '''

@triton.jit(do_not_specialize=["ROWS", "HEADS", "L"])
def select_rows(scores, end, most, blocks, counts, index, ROWS, HEADS, N, L):
    """One program a row."""
    select_row(scores, end, most, blocks, counts, index, tl.program_id(0), ROWS, HEADS, N, L)
'''


def tiles_of(blocks: int) -> tuple[int, ...]:
    """The forms that rows of at most `blocks` blocks need: tiles on chip, ascending; 0 last where they must be streamed."""
    if blocks <= SHORT:
        return (max(SHORTEST, triton.next_power_of_2(blocks)),)
    if blocks <= LONG:
        return (SHORT, triton.next_power_of_2(blocks))
    return (SHORT, LONG, 0)


def warps_of(tiles: Sequence[int]) -> int:
    """Of a kernel of its own: 8 keys a thread, or 16 of the longest rows on chip."""
    longest = max(tiles) if tiles[-1] else LONG
    return min(16, max(1, longest // 256))


def selection_text(rules: Sequence[Rule], tiles: Sequence[int], bos: int, eos: int, *, step: int = 1) -> str:
    """Source of a module with `select_row` and, one program a row, `select_rows`.

    `tiles` as tiles_of gives them; `step` is ALIGNED_TO where N is a multiple of it, else 1.
    """
    named = " | ".join(_named(rule) for rule in rules)
    forms = "".join(_form(rules, tile, bos, eos, step) for tile in tiles)
    return HEADER.format(rules=named, bos=bos, eos=eos) + forms + ROW.format(branches=_branches(tiles)) + ROWS


def selection_kernel(rules: Sequence[Rule], shape: WorkShape, point: OperatingPoint) -> Kernel:
    """`select_rows` for rows of at most shape.blocks blocks; grid (shape.rows,)."""
    return _kernel(tuple(rules), shape, point.block_reserved_bos, point.block_reserved_eos)


def launch_selection(worklist: Worklist, rules: Sequence[Rule], bos: int, eos: int) -> None:
    """Fills counts and index of the rows that were scored."""
    shape, kernel = worklist.shape, _kernel(tuple(rules), worklist.shape, bos, eos)
    function = getattr(module_of(kernel.source), kernel.entry)
    function[(shape.rows,)](worklist.scores, worklist.end, worklist.most, worklist.blocks, worklist.counts, worklist.index,
                            shape.rows, shape.heads, shape.blocks, shape.listed, num_warps=kernel.warps)


@lru_cache(maxsize=256)
def _kernel(rules: tuple[Rule, ...], shape: WorkShape, bos: int, eos: int) -> Kernel:
    tiles, even = tiles_of(shape.blocks), shape.blocks % ALIGNED_TO == 0
    pointers = {"scores": "*fp32", **dict.fromkeys(("end", "most", "blocks", "counts", "index"), "*i32")}
    return Kernel(
        name="select", entry="select_rows",
        source=selection_text(rules, tiles, bos, eos, step=ALIGNED_TO if even else 1),
        signature={**pointers, **dict.fromkeys(("ROWS", "HEADS", "N", "L"), "i32")},
        aligned=(*pointers, *(("N",) if even else ())), warps=warps_of(tiles), covers=tuple(_named(rule) for rule in rules),
        bytes_moved=shape.rows * (4 * shape.blocks * max(1, shape.rules) + 4 * shape.listed))


def _named(rule: Rule) -> str:
    told = {"topk": [*([] if rule.k is None else [f"k={rule.k}"]),
                     *([f"tolerance={rule.tolerance}"] if rule.tolerance else [])]}
    return f"{rule.op}({', '.join(told.get(rule.op, [str(rule.at)]))})"


def _branches(tiles: Sequence[int]) -> str:
    """A row takes the first form that it fits."""
    if len(tiles) == 1:
        return f"        _select_{tiles[0]}({ARGUMENTS}, last)\n"
    lines: list[str] = []
    for place, tile in enumerate(tiles):
        word = "if" if place == 0 else "elif"
        test = f"{word} last <= {tile}:" if place < len(tiles) - 1 else "else:"
        lines += [f"        {test}", f"            _select_{tile or 'streamed'}({ARGUMENTS}, last)"]
    return "\n".join(lines) + "\n"


def _form(rules: Sequence[Rule], tile: int, bos: int, eos: int, step: int) -> str:
    """The function for rows of up to `tile` blocks, or of any length where it is 0."""
    sizes = f"TILE={tile or STREAMED_TILE}, STEP={step}"
    lines = ["", "", "@triton.jit", f"def _select_{tile or 'streamed'}({ARGUMENTS}, last):",
             "    n = tl.load(blocks + row // HEADS)",
             "    entries = index + tl.cast(row, tl.int64) * L"]
    for u, rule in enumerate(rules):
        lines += [f"    own_{u} = scores + tl.cast({u} * ROWS + row, tl.int64) * N",
                  *([f"    keys = load_keys(own_{u}, 0, {bos}, last, {sizes})"] if tile else []),
                  f"    low_{u}, high_{u}, need_{u}, found_{u} = " + _cut(
                      rule, f"own_{u}, {'keys' if tile else 0}, {bos}, last, tl.load(most + {u} * ROWS + row)",
                      f"{sizes}, STREAMED={tile == 0}"),
                  *(_taken(u, "0", "    ") if tile else [])]
    lines += [f"    place = write_taken(entries, taken, 0, {bos}, TILE={tile})"] if tile else _streamed(len(rules), sizes, bos)
    if bos:
        lines.append(f"    write_run(entries, 0, 0, COUNT={bos}, WIDTH={triton.next_power_of_2(bos)})")
    if eos:
        lines.append(f"    write_run(entries, place, n - {eos}, COUNT={eos}, WIDTH={triton.next_power_of_2(eos)})")
    return "\n".join([*lines, f"    tl.store(counts + row, place + {eos})", ""])


def _cut(rule: Rule, given: str, sizes: str) -> str:
    if rule.op == "top_p" and rule.at < 1:
        return f"share_cut({given}, GOAL={_goal(rule.at)}, {sizes})"
    assert rule.op != EVERYTHING, "a row of which everything is taken is not scored"
    floor = _floor(rule.at) if rule.op == "threshold" else 0
    return f"best_cut({given}, FLOOR={floor}, TOLERANCE={_tolerance(rule.tolerance)}, {sizes})"


def _taken(u: int, seen: str, indent: str) -> list[str]:
    """What rule `u` takes of `keys`, united with what rules before it do."""
    name = "more" if u else "taken"
    lines = [f"{indent}{name}, {f'seen_{u}' if seen != '0' else '_'} = "
             f"taken_of(keys, low_{u}, high_{u}, need_{u}, found_{u}, {seen})"]
    return [*lines, f"{indent}taken = taken | more"] if u else lines


def _streamed(count: int, sizes: str, bos: int) -> list[str]:
    lines = [f"    place = {bos} + last * 0", *(f"    seen_{u} = last * 0" for u in range(count)),
             f"    for start in range(0, last, {STREAMED_TILE}):"]
    for u in range(count):
        lines += [f"        keys = load_keys(own_{u}, start, {bos}, last, {sizes})", *_taken(u, f"seen_{u}", "        ")]
    return [*lines, f"        place = write_taken(entries, taken, start, place, TILE={STREAMED_TILE})"]


def _goal(p: float) -> int:
    return max(1, math.floor(Fraction(p) * (1 << SHARE_BITS)))


def _tolerance(tolerance: float) -> int:
    """Rounded up, so that a fifth of 5 is 1; 0 stays 0."""
    return math.ceil(Fraction(tolerance) * (1 << TOLERANCE_BITS))


def _floor(t: float) -> int:
    """The lowest key of a score that is `t` or more, as Python compares a float32 with `t`."""
    if abs(t) > LARGEST:
        return _key_of(math.inf) if t > 0 else _key_of(-math.inf) + 1
    near: float = struct.unpack("<f", struct.pack("<f", t))[0]
    return _key_of(near) + (near < t)


def _key_of(score: float) -> int:
    """As `_key` on the device, but that -0.0 has the key below 0.0's, which no score has; the next key is the next float's."""
    bits: int = struct.unpack("<I", struct.pack("<f", score))[0]
    return bits ^ (0xFFFFFFFF if bits >> 31 else 0x80000000)
