"""Where a captured decode step finds its requests: from the engine's own tensors to a Program's inputs, on the device."""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["N", "table_stride"])
def seat(lens, requests, slots, table, out_lens, out_tables, done, N, table_stride, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    """Grid: (requests, tiles of WIDTH columns). Every column of `out_tables` int32 [B, N] is written, 0 beyond a request's
    blocks; `done` int64 [B] is the block that the slot completes, else -1. Slot 0 is nobody's: its request is not there."""
    row = tl.program_id(0)
    slot = tl.load(slots + row).to(tl.int64)
    there = slot > 0
    length = tl.where(there, tl.minimum(tl.load(lens + row).to(tl.int64), N.to(tl.int64) * SIZE), 0)
    if tl.program_id(1) == 0:
        tl.store(out_lens + row, length.to(tl.int32))
        tl.store(done + row, tl.where(there & (slot % SIZE == SIZE - 1), slot // SIZE, -1))
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    request = tl.load(requests + row).to(tl.int64)
    first = tl.load(table + request * table_stride + column * SIZE, mask=(column * SIZE < length) & (column < N), other=0)
    tl.store(out_tables + row.to(tl.int64) * N + column, (first // SIZE).to(tl.int32), mask=column < N)


@triton.jit
def note_done(slots, done, SIZE: tl.constexpr):
    """Grid: (requests,). The part of `seat` that a dense step needs."""
    row = tl.program_id(0)
    slot = tl.load(slots + row).to(tl.int64)
    tl.store(done + row, tl.where((slot > 0) & (slot % SIZE == SIZE - 1), slot // SIZE, -1))
