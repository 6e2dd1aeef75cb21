"""The planner's kernel: what a decode step's rows may attend, which of them are scored, and the work items of those.

One launch. A program owns GROUP rows and works out the rows before its own again, so that no program waits for another.
"""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
import triton
import triton.language as tl


@triton.jit
def default_budget(cached_block_len, topk_val, topk_ratio, block_reserved_bos, block_reserved_eos):
    """The larger of a number and a share, the share as a C float; all tensors but the reserved ones."""
    by_share = (cached_block_len.to(tl.float32) * topk_ratio).to(tl.int32)
    return tl.maximum(by_share, topk_val + block_reserved_bos + block_reserved_eos)


@triton.jit
def budget_of(lens, vals, ratios, rows, ROWS, N, HEADS: tl.constexpr, BLOCK: tl.constexpr, BOS: tl.constexpr,
              EOS: tl.constexpr, ALLOWED: tl.constexpr):
    """n, and how many blocks may be chosen beside the reserved ones; int32 as `rows`, zeros past ROWS."""
    real = rows < ROWS
    length = tl.load(lens + rows // HEADS, mask=real, other=0)
    # A length that no table has room for would be written past the ends of lists.
    n = tl.minimum(tl.maximum(length // BLOCK + (length % BLOCK > 0).to(tl.int32), 0), N)
    val, ratio = tl.load(vals + rows % HEADS, mask=real, other=0), tl.load(ratios + rows % HEADS, mask=real, other=0.0)
    bos, eos = tl.full((), BOS, tl.int32), tl.full((), EOS, tl.int32)
    return n, tl.maximum(ALLOWED(n, val, ratio, bos, eos), BOS + EOS) - (BOS + EOS)


@triton.jit
def end_of(n, chosen, BOS: tl.constexpr, EOS: tl.constexpr, USES_BUDGET: tl.constexpr, LARGEST_K: tl.constexpr):
    """n - EOS of a row that is scored; 0 of one that some rule of the Selection takes whole."""
    most = tl.maximum(chosen, LARGEST_K) if USES_BUDGET else LARGEST_K
    return tl.where(n > most + (BOS + EOS), n - EOS, 0)


@triton.jit
def plan_rows(lens, vals, ratios, ks, blocks, end, most, starts, items, counts, index, ROWS, N, L,
              HEADS: tl.constexpr, BLOCK: tl.constexpr, BOS: tl.constexpr, EOS: tl.constexpr, CHUNK: tl.constexpr,
              RULES: tl.constexpr, USES_BUDGET: tl.constexpr, LARGEST_K: tl.constexpr, GROUP: tl.constexpr,
              TILE: tl.constexpr, WIDTH: tl.constexpr, ALLOWED: tl.constexpr):
    """Grid: (groups of GROUP rows, programs that share the items and lists of a group). See workspace.py for the tensors;
    `items` is one int64 a pair; `vals`, `ratios` [HEADS]; `ks` int32 [RULES], -1 of a rule that takes what the budget allows."""
    first = tl.program_id(0) * GROUP
    before = tl.zeros((), tl.int32)
    for at in range(0, first, TILE):
        others = at + tl.arange(0, TILE)
        n, chosen = budget_of(lens, vals, ratios, others, ROWS, N, HEADS, BLOCK, BOS, EOS, ALLOWED)
        work = tl.cdiv(end_of(n, chosen, BOS, EOS, USES_BUDGET, LARGEST_K), CHUNK)
        before += tl.sum(tl.where(others < first, work, 0), axis=0)
    rows = first + tl.arange(0, GROUP)
    real = rows < ROWS
    n, chosen = budget_of(lens, vals, ratios, rows, ROWS, N, HEADS, BLOCK, BOS, EOS, ALLOWED)
    scored = end_of(n, chosen, BOS, EOS, USES_BUDGET, LARGEST_K)
    work = tl.cdiv(scored, CHUNK)
    start = before + tl.cumsum(work, axis=0) - work
    if tl.program_id(1) == 0:
        tl.store(blocks + rows // HEADS, n, mask=real & (rows % HEADS == 0))
        tl.store(end + rows, scored, mask=real)
        tl.store(starts + rows, start, mask=real)
        tl.store(starts + rows + 1, start + work, mask=rows == ROWS - 1)
        tl.store(counts + rows, n, mask=real & (scored == 0))
        for rule in range(RULES):
            k = tl.load(ks + rule)
            tl.store(most + rule * ROWS + rows, tl.where(scored > 0, tl.where(k < 0, chosen, k), 0), mask=real)
    columns = tl.arange(0, WIDTH)[None, :]
    share, shares = tl.program_id(1) * WIDTH, tl.num_programs(1) * WIDTH
    for at in range(share, tl.max(work, axis=0), shares):
        item = at + columns
        pair = rows.to(tl.int64)[:, None] + ((item * CHUNK).to(tl.int64) << 32)
        tl.store(items + (start.to(tl.int64)[:, None] + item), pair, mask=item < work[:, None])
    whole = tl.where(scored > 0, 0, tl.minimum(n, L))
    for at in range(share, tl.max(whole, axis=0), shares):
        entry = at + columns
        lists = index + rows.to(tl.int64)[:, None] * L
        tl.store(lists + entry, entry + tl.zeros_like(rows)[:, None], mask=entry < whole[:, None])
