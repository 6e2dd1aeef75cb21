"""Decode attention over a paged cache, in Triton: the queries of one step against the listed blocks of each row.

Rows are cut into splits that fill the chip, and a second kernel joins their parts (split-KV decoding, as in Flash-Decoding).
Letters: G query heads of a kv head, D channels of a key, V of a value, S tokens of a block, T tokens of a tile, M query heads of
a tile. Logits are kept in base 2: `scale` comes multiplied by log2(e). Accumulators, maxima and sums are float32.
"""
# ruff: noqa: N803, PLR0913 - constants are named by the letters of shapes; what a kernel reads it is given one by one
import triton
import triton.language as tl

from vortex.compiler.kernels.numbers import as_bf16

LN2 = tl.constexpr(0.6931471805599453)
LOG2E = tl.constexpr(1.4426950408889634)
SIZES = ["heads", "most", "table_stride", "index_stride"]       # one machine code for all of them


@triton.jit
def _entries(counts, lens, row, request, most, S: tl.constexpr):
    """(entries of the row's list, tokens of its request); without lists every block is an entry."""
    length = tl.load(lens + request)
    if counts is None:
        entries = (length + S - 1) // S
    else:
        entries = tl.load(counts + row).to(tl.int32)
    return tl.minimum(entries, most), length


@triton.jit
def _place(tables, index, first, entries, length, S: tl.constexpr, T: tl.constexpr):
    """(pool block int64 [T], token within it [T], is it a real token? [T]) of T tokens of a list from `first` on."""
    lane = first + tl.arange(0, T)
    entry, inner = lane // S, lane % S
    position = entry
    if index is not None:
        position = tl.load(index + entry, mask=entry < entries, other=0).to(tl.int32)
    real = (entry < entries) & (position * S + inner < length)
    return tl.load(tables + position, mask=real, other=0).to(tl.int64), inner, real


@triton.jit
def _tile(pool, block, inner, real, block_stride, token_stride, start: tl.constexpr, width: tl.constexpr, padded: tl.constexpr):
    """Channels start .. start + width of a tile's tokens, [T, padded]; 0 where there is nothing real."""
    channel = tl.arange(0, padded)
    at = pool + (block * block_stride + inner * token_stride)[:, None] + (start + channel)[None, :]
    mask = real[:, None]
    if width != padded:
        mask = mask & (channel < width)[None, :]
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def _queries(q, row, first, G: tl.constexpr, D: tl.constexpr, start: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
             M: tl.constexpr, UPCAST: tl.constexpr):
    """Channels start .. start + width of M query heads from `first` on, [M, padded]."""
    member, channel = first + tl.arange(0, M), tl.arange(0, padded)
    at = q + (row.to(tl.int64) * G + member)[:, None] * D + (start + channel)[None, :]
    x = tl.load(at, mask=(member < G)[:, None] & (channel < width)[None, :], other=0.0)
    return x.to(tl.float32) if UPCAST else x


@triton.jit
def _like(x, q, UPCAST: tl.constexpr):
    """A tile of the cache as the products take it. Both types of fp8 are exact in bfloat16 and float16."""
    return x.to(tl.float32) if UPCAST else x.to(q.dtype)


@triton.jit
def _rounded(x, pointer):
    """As what `pointer` points at; to the nearest also where a cast cuts."""
    if pointer.dtype.element_ty == tl.bfloat16:
        x = as_bf16(x)
    return x.to(pointer.dtype.element_ty)


@triton.jit
def _nonzero(total):
    """A sum to divide by; 1 where there was nothing to sum."""
    return tl.where(total == 0.0, 1.0, total)


@triton.jit
def _level(best, total):
    """Log-sum-exp in base 2; minus infinity of nothing."""
    return tl.where(total == 0.0, float("-inf"), best + tl.log2(_nonzero(total)))


@triton.jit(do_not_specialize=SIZES)
def attend_split(q, k, v, tables, index, counts, lens, out, lse, scale, v_scale, heads, most, table_stride, index_stride,
                 k_head, k_block, k_token, v_head, v_block, v_token,
                 G: tl.constexpr, D: tl.constexpr, V: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
                 HEAD_PAD: tl.constexpr, TAIL_PAD: tl.constexpr, V_PAD: tl.constexpr, S: tl.constexpr, T: tl.constexpr,
                 M: tl.constexpr, LATENT: tl.constexpr, DIRECT: tl.constexpr, UPCAST: tl.constexpr):
    """Program (row and tile of query heads, split): softmax(q k) v over an even share of the row's tiles.

    Keys are read as two parts, HEAD and TAIL channels; LATENT: the first part is the values as well. `out` [row, split, G, V]
    and `lse` float32 [row, split, G], in base 2; DIRECT, where there is one split: the results, `lse` natural or None.
    out None: the log-sum-exp alone, no value is read.
    """
    groups: tl.constexpr = (G + M - 1) // M
    row, group, split, splits = tl.program_id(0) // groups, tl.program_id(0) % groups, tl.program_id(1), tl.num_programs(1)
    request, head = row // heads, (row % heads).to(tl.int64)
    entries, length = _entries(counts, lens, row, request, most, S)
    tables += request.to(tl.int64) * table_stride
    if index is not None:
        index += row.to(tl.int64) * index_stride
    k += head * k_head
    if out is not None and not LATENT:
        v += head * v_head
    tiles = (entries * S + T - 1) // T
    begin, end = split * tiles // splits, (split + 1) * tiles // splits

    query = _queries(q, row, group * M, G, D, 0, HEAD, HEAD_PAD, M, UPCAST)
    if TAIL:
        query_tail = _queries(q, row, group * M, G, D, HEAD, TAIL, TAIL_PAD, M, UPCAST)
    best = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    acc = tl.zeros([M, V_PAD], tl.float32)
    # The next tile's places are found while this one is computed: a key waits for one load, not for three in a row.
    block, inner, real = _place(tables, index, begin * T, entries, length, S, T)
    for tile in tl.range(begin, end):
        keys = _like(_tile(k, block, inner, real, k_block, k_token, 0, HEAD, HEAD_PAD), query, UPCAST)
        logits = tl.dot(query, tl.trans(keys), input_precision="ieee")
        if TAIL:
            tail = _like(_tile(k, block, inner, real, k_block, k_token, HEAD, TAIL, TAIL_PAD), query, UPCAST)
            logits = tl.dot(query_tail, tl.trans(tail), logits, input_precision="ieee")
        values = keys
        if out is not None and not LATENT:
            values = _like(_tile(v, block, inner, real, v_block, v_token, 0, V, V_PAD), query, UPCAST)
        logits = tl.where(real[None, :], logits * scale, float("-inf"))
        block, inner, real = _place(tables, index, (tile + 1) * T, entries, length, S, T)
        above = tl.maximum(best, tl.max(logits, 1))
        base = tl.where(above == float("-inf"), 0.0, above)
        weights = tl.exp2(logits - base[:, None])
        shrink = tl.exp2(best - base)
        total = total * shrink + tl.sum(weights, 1)
        if out is not None:
            acc = tl.dot(weights.to(values.dtype), values, acc * shrink[:, None], input_precision="ieee")
        best = above

    member, channel = group * M + tl.arange(0, M), tl.arange(0, V_PAD)
    place = (row * splits + split).to(tl.int64) * G + member
    if out is not None:
        share = acc * (v_scale / _nonzero(total))[:, None]
        tl.store(out + place[:, None] * V + channel[None, :], _rounded(share, out),
                 mask=(member < G)[:, None] & (channel < V)[None, :])
    if lse is not None:
        level = _level(best, total)
        tl.store(lse + place, level * LN2 if DIRECT else level, mask=member < G)


@triton.jit(do_not_specialize=["splits"])
def join_splits(parts, levels, out, lse, splits, G: tl.constexpr, V: tl.constexpr, V_PAD: tl.constexpr, N: tl.constexpr):
    """Program (row, query head): the parts of its splits, N at a time, as one softmax. Splits that had nothing have no level."""
    row, member = tl.program_id(0) // G, tl.program_id(0) % G
    channel = tl.arange(0, V_PAD)
    best, total, acc = float("-inf"), 0.0, tl.zeros([V_PAD], tl.float32)
    for begin in tl.range(0, splits, N):
        split = begin + tl.arange(0, N)
        place = (row.to(tl.int64) * splits + split) * G + member
        level = tl.load(levels + place, mask=split < splits, other=float("-inf"))
        above = tl.maximum(best, tl.max(level, 0))
        base = tl.where(above == float("-inf"), 0.0, above)
        weight, shrink = tl.exp2(level - base), tl.exp2(best - base)
        total = total * shrink + tl.sum(weight, 0)
        if out is not None:
            part = tl.load(parts + place[:, None] * V + channel[None, :],
                           mask=(level != float("-inf"))[:, None] & (channel < V)[None, :], other=0.0)
            acc = acc * shrink + tl.sum(part * weight[:, None], 0)
        best = above
    if out is not None:
        result = acc / _nonzero(total)
        tl.store(out + tl.program_id(0).to(tl.int64) * V + channel, _rounded(result, out), mask=channel < V)
    if lse is not None:
        tl.store(lse + tl.program_id(0), _level(best, total) * LN2)


@triton.jit(do_not_specialize=[*SIZES, "mass_stride"])
def weigh_blocks(q, k, tables, index, counts, lens, scored, lse, mass, scale, heads, most, table_stride, index_stride,
                 mass_stride, k_head, k_block, k_token,
                 G: tl.constexpr, D: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr, HEAD_PAD: tl.constexpr,
                 TAIL_PAD: tl.constexpr, S: tl.constexpr, T: tl.constexpr, M: tl.constexpr, UPCAST: tl.constexpr):
    """Program (row, share): the softmax mass of each listed block, mean over the query heads, from `lse` float32 [row, G].

    `scored` int32 [rows] or None: only the first so many entries are asked for; `mass` float32 [row, entry].
    """
    row, split, splits = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    request, head = row // heads, (row % heads).to(tl.int64)
    entries, length = _entries(counts, lens, row, request, most, S)
    if scored is not None:
        entries = tl.minimum(entries, tl.load(scored + row))
    tables += request.to(tl.int64) * table_stride
    if index is not None:
        index += row.to(tl.int64) * index_stride
    k += head * k_head
    mass += row.to(tl.int64) * mass_stride
    whole: tl.constexpr = T // S if T > S else 1              # entries of a tile
    pieces: tl.constexpr = S // T if S > T else 1             # tiles of an entry
    groups = (entries + whole - 1) // whole
    for at in tl.range(split * groups // splits, (split + 1) * groups // splits):
        entry = at * whole + tl.arange(0, whole)
        sums = tl.zeros([whole], tl.float32)
        for piece in tl.range(0, pieces):
            block, inner, real = _place(tables, index, at * whole * S + piece * T, entries, length, S, T)
            keys = _tile(k, block, inner, real, k_block, k_token, 0, HEAD, HEAD_PAD)
            if TAIL:
                tail = _tile(k, block, inner, real, k_block, k_token, HEAD, TAIL, TAIL_PAD)
            for first in tl.range(0, G, M, num_stages=1):         # the keys are what is worth fetching ahead
                query = _queries(q, row, first, G, D, 0, HEAD, HEAD_PAD, M, UPCAST)
                logits = tl.dot(query, tl.trans(_like(keys, query, UPCAST)), input_precision="ieee")
                if TAIL:
                    query_tail = _queries(q, row, first, G, D, HEAD, TAIL, TAIL_PAD, M, UPCAST)
                    logits = tl.dot(query_tail, tl.trans(_like(tail, query, UPCAST)), logits, input_precision="ieee")
                member = first + tl.arange(0, M)
                level = tl.load(lse + row.to(tl.int64) * G + member, mask=member < G, other=0.0) * LOG2E
                weights = tl.exp2(logits * scale - level[:, None])
                weights = tl.where((member < G)[:, None] & real[None, :], weights, 0.0)
                sums += tl.sum(tl.reshape(tl.sum(weights, 0), [whole, T // whole]), 1)
        tl.store(mass + entry, sums / G, mask=entry < entries)
