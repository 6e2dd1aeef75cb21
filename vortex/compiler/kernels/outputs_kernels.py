"""Lists and tables in the forms of other libraries, written on the device."""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
import triton
import triton.language as tl

SIZES = ["ROWS", "N", "L", "COLUMNS", "block_step", "head_step"]         # one machine code for all of them


@triton.jit
def last_tokens(lens, row, HEADS: tl.constexpr, BLOCK: tl.constexpr):
    """Tokens of the row's last block, 1 to BLOCK; 0 of a request that is not there."""
    length = tl.load(lens + row // HEADS)
    return tl.where(length > 0, (length - 1) % BLOCK + 1, 0)


@triton.jit
def page_ids(tables, index, row, entry, listed, N, L, block_step, head_step, HEADS: tl.constexpr):
    """int32 as `entry`: what the library calls the block of each entry of the row's list; 0 where not `listed`."""
    place = tl.load(index + row.to(tl.int64) * L + entry, mask=listed, other=0)
    block = tl.load(tables + (row // HEADS).to(tl.int64) * N + place, mask=listed, other=0)
    return tl.where(listed, block * block_step + (row % HEADS) * head_step, 0)


@triton.jit(do_not_specialize=SIZES)
def csr(lens, tables, counts, index, indptr, indices, last, ROWS, N, L, block_step, head_step,
        HEADS: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr):
    """Grid: (ROWS, programs that share a row). A program counts the rows before its own again, so that none waits."""
    row = tl.program_id(0)
    before = tl.zeros((), tl.int32)
    for at in range(0, row, TILE):
        others = at + tl.arange(0, TILE)
        before += tl.sum(tl.load(counts + others, mask=others < row, other=0), axis=0)
    count = tl.load(counts + row)
    if tl.program_id(1) == 0:
        tl.store(indptr + row, before)
        tl.store(last + row, last_tokens(lens, row, HEADS, BLOCK))
        if row == ROWS - 1:
            tl.store(indptr + ROWS, before + count)
    for at in range(tl.program_id(1) * WIDTH, count, tl.num_programs(1) * WIDTH):
        entry = at + tl.arange(0, WIDTH)
        ids = page_ids(tables, index, row, entry, entry < count, N, L, block_step, head_step, HEADS)
        tl.store(indices + (before.to(tl.int64) + entry), ids, mask=entry < count)


@triton.jit(do_not_specialize=SIZES)
def padded(lens, tables, counts, index, pages, tokens, ROWS, N, L, block_step, head_step,
           HEADS: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    """Grid: (ROWS, programs that share a row). Every entry of `pages` [ROWS, L] is written."""
    row = tl.program_id(0)
    count = tl.load(counts + row)
    if tl.program_id(1) == 0:
        tl.store(tokens + row, tl.maximum(count - 1, 0) * BLOCK + last_tokens(lens, row, HEADS, BLOCK))
    for at in range(tl.program_id(1) * WIDTH, L, tl.num_programs(1) * WIDTH):
        entry = at + tl.arange(0, WIDTH)
        ids = page_ids(tables, index, row, entry, entry < count, N, L, block_step, head_step, HEADS)
        tl.store(pages + row.to(tl.int64) * L + entry, ids, mask=entry < L)


@triton.jit(do_not_specialize=SIZES)
def blocks_of_pages(pages, tables, COLUMNS, N, PER_PAGE: tl.constexpr, WIDTH: tl.constexpr):
    """Grid: (requests, tiles). `pages` [B, COLUMNS] to `tables` [B, N]; entries without a page are 0."""
    request = tl.program_id(0)
    block = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    real = (block < N) & (block // PER_PAGE < COLUMNS)
    page = tl.load(pages + request.to(tl.int64) * COLUMNS + block // PER_PAGE, mask=real, other=0)
    found = tl.where(real, page * PER_PAGE + block % PER_PAGE, 0)
    tl.store(tables + request.to(tl.int64) * N + block, found, mask=block < N)
