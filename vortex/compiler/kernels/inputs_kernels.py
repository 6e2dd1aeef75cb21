"""Where a decode step finds its requests: from an engine's own tensors to a Program's inputs, on the device."""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
import triton
import triton.language as tl


@triton.jit
def block_done(slot, SIZE: tl.constexpr):
    """The block whose last token lies in the slot, else -1; slot 0 is nobody's."""
    return tl.where((slot > 0) & (slot % SIZE == SIZE - 1), slot // SIZE, -1)


@triton.jit(do_not_specialize=["N", "stride"])
def seat(lens, requests, slots, table, out_lens, out_tables, done, N, stride, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    """Grid: (rows, tiles of columns). See inputs.py for the tensors; every column of `out_tables` [rows, N] is written."""
    row = tl.program_id(0)
    slot = tl.load(slots + row)
    length = tl.where(slot > 0, tl.minimum(tl.load(lens + row), tl.cast(N, tl.int64) * SIZE), 0)
    if tl.program_id(1) == 0:
        tl.store(out_lens + row, length.to(tl.int32))
        tl.store(done + row, block_done(slot, SIZE))
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    first = column.to(tl.int64) * SIZE
    request = tl.load(requests + row)
    block = tl.load(table + (request * stride + first), mask=first < length, other=0) // SIZE
    tl.store(out_tables + (row.to(tl.int64) * N + column), block, mask=column < N)


@triton.jit
def note_done(slots, done, SIZE: tl.constexpr):
    """Grid: (rows,)."""
    tl.store(done + tl.program_id(0), block_done(tl.load(slots + tl.program_id(0)), SIZE))
