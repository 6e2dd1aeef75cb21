"""What the text of a selection kernel calls: keys in the order of scores, the cut of each rule, the list.

A row's best blocks are found without sorting, by a descent over 32-bit keys as in radix select (Alabi et al., ACM JEA
2012): a range of keys that holds the last block to be taken is cut into bins, and the bin that holds it is the next range.
Two or three bits a pass, counted by sums of packed counters, cost fewer barriers than a histogram of eight.

Letters: `own` is a pointer to the row's scores; `keys` uint32 [TILE] are those of a row on chip, and of no meaning where
STREAMED, for then every pass loads the scores again, tile by tile. Blocks first .. last are candidates.
"""
# ruff: noqa: N803, PLR0913 - what a kernel reads it is given one by one, constants in capitals
import triton
import triton.language as tl

NO_BLOCK = tl.constexpr(0)                # the key of what is no candidate
MISSING = tl.constexpr(1)                 # the key of NaN
LOWEST = tl.constexpr(0x007FFFFF)         # the key of -inf
HIGHEST = tl.constexpr(0xFF800000)        # the key of +inf
SHARE_BITS = 40                           # a share of 1 is 2**40: sums of whole numbers do not depend on their order
COUNT_AT = 42                             # where the count of blocks stands in one int64 with the sum of their shares
ONE = tl.constexpr(float(1 << SHARE_BITS))
COUNTED = tl.constexpr(1 << COUNT_AT)
SHIFT = tl.constexpr(COUNT_AT)
MASS = tl.constexpr((1 << COUNT_AT) - 1)
TOLERANCE_BITS = 40
TOLERATED = tl.constexpr(TOLERANCE_BITS)


@triton.jit
def _key(score):
    bits = score.to(tl.int32, bitcast=True)
    bits = tl.where(bits == -2147483648, 0, bits)
    key = bits ^ ((bits >> 31) | -2147483648)
    return tl.where((bits & 0x7FFFFFFF) > 0x7F800000, MISSING, key).to(tl.uint32, bitcast=True)


@triton.jit
def _score(keys):
    """What `_key` was given; -inf of NaN and of no block."""
    key = keys.to(tl.int32, bitcast=True)
    bits = key ^ (((key >> 31) ^ -1) | -2147483648)
    return tl.where(keys <= MISSING, float("-inf"), bits.to(tl.float32, bitcast=True))


@triton.jit
def load_keys(own, start, first, last, TILE: tl.constexpr, STEP: tl.constexpr):
    """uint32 [TILE] of blocks from `start` on. Rows of a multiple of STEP scores are read in whole vectors.

    Past the L1 cache: other programs may just have written the scores.
    """
    at = start + tl.arange(0, TILE)
    readable = (last + STEP - 1) // STEP * STEP
    score = tl.load(own + at, mask=at < readable, other=0.0, cache_modifier=".cg")
    return tl.where((at >= first) & (at < last), _key(score), NO_BLOCK)


@triton.jit
def _extremes(own, keys, first, last, TILE: tl.constexpr, STEP: tl.constexpr, STREAMED: tl.constexpr):
    """The lowest and the highest key of the candidates."""
    if STREAMED:
        low = tl.full([TILE], 0xFFFFFFFF, tl.uint32)
        high = tl.zeros([TILE], tl.uint32)
        for start in range(0, last, TILE):
            found = load_keys(own, start, first, last, TILE, STEP)
            low = tl.minimum(low, tl.where(found == NO_BLOCK, 0xFFFFFFFF, found))
            high = tl.maximum(high, found)
    else:
        low = tl.where(keys == NO_BLOCK, 0xFFFFFFFF, keys)
        high = keys
    return tl.min(low, 0), tl.max(high, 0)


@triton.jit
def _top_bit(width):
    """The place of the highest bit of a uint32 above 0. The bit below it is cleared, so that no rounding carries."""
    number = (width & ((width >> 1) ^ 0xFFFFFFFF)).to(tl.float32)
    return (number.to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def _add_counts(keys, low, width, shift, a, b, c, d):
    """Counts blocks by digit, two 16-bit counters to a word; a digit past 7 is not in the range."""
    digit = tl.where(keys - low <= width, (keys - low) >> shift, 8)
    one = tl.where((digit & 1) == 0, 1, 65536)
    word = digit >> 1
    a += tl.where(word == 0, one, 0)
    b += tl.where(word == 1, one, 0)
    c += tl.where(word == 2, one, 0)
    d += tl.where(word == 3, one, 0)
    return a, b, c, d


@triton.jit
def _sums(a, b, c, d):
    """Of four tensors in one reduction: it costs the barriers of one."""
    left, right = tl.split(tl.sum(tl.join(tl.join(a, b), tl.join(c, d)), axis=0))
    a_sum, b_sum = tl.split(left)
    c_sum, d_sum = tl.split(right)
    return a_sum, b_sum, c_sum, d_sum


@triton.jit
def _digit_counts(own, keys, first, last, low, width, shift, TILE: tl.constexpr, STEP: tl.constexpr,
                  STREAMED: tl.constexpr):
    """Blocks of digits 1 to 7. A tile on chip is too short to fill 16 bits."""
    a = tl.zeros([TILE], tl.int32)
    b, c, d = a, a, a
    if STREAMED:
        for start in range(0, last, TILE):
            found = load_keys(own, start, first, last, TILE, STEP)
            a, b, c, d = _add_counts(found, low, width, shift, a, b, c, d)
        _, n2, n4, n6 = _sums(a & 0xFFFF, b & 0xFFFF, c & 0xFFFF, d & 0xFFFF)
        n1, n3, n5, n7 = _sums(a >> 16, b >> 16, c >> 16, d >> 16)
    else:
        a, b, c, d = _add_counts(keys, low, width, shift, a, b, c, d)
        a_sum, b_sum, c_sum, d_sum = _sums(a, b, c, d)
        n2, n4, n6 = b_sum & 0xFFFF, c_sum & 0xFFFF, d_sum & 0xFFFF
        n1, n3, n5, n7 = a_sum >> 16, b_sum >> 16, c_sum >> 16, d_sum >> 16
    return n1, n2, n3, n4, n5, n6, n7


@triton.jit
def _weigh(sum_above, need, digit, above, within):
    """`above` becomes the longest run of digits from the top that falls short of `need`, `within` the shortest that does not."""
    enough = sum_above >= need
    return digit + enough.to(tl.int32), tl.where(enough, above, sum_above), tl.where(
        enough, tl.minimum(within, sum_above), within)


@triton.jit
def _at_least(own, keys, first, last, floor, TILE: tl.constexpr, STEP: tl.constexpr, STREAMED: tl.constexpr):
    """How many candidates have a key of `floor` or more."""
    if STREAMED:
        count = tl.zeros([TILE], tl.int32)
        for start in range(0, last, TILE):
            count += (load_keys(own, start, first, last, TILE, STEP) >= floor).to(tl.int32)
    else:
        count = (keys >= floor).to(tl.int32)
    return tl.sum(count, 0)


@triton.jit
def best_cut(own, keys, first, last, most, FLOOR: tl.constexpr, TOLERANCE: tl.constexpr, TILE: tl.constexpr,
             STEP: tl.constexpr, STREAMED: tl.constexpr):
    """(low, high, need, found) of the `most` best whose key is FLOOR or more: blocks of a key above `high` are taken, and
    the first `need` of the `found` whose key is in low .. high.

    TOLERANCE is a share of the best in units of 2**-TOLERANCE_BITS. The descent ends when no more than that share is still
    to be found in the range: all that lies above it is taken and among the best, so that only those can be missed.
    """
    low, high = _extremes(own, keys, first, last, TILE, STEP, STREAMED)
    found = last - first
    if FLOOR > 1:
        low = tl.maximum(low, FLOOR)
        found = _at_least(own, keys, first, last, low, TILE, STEP, STREAMED)
    need = tl.minimum(most, found)
    spare = ((need.to(tl.int64) * TOLERANCE) >> TOLERATED).to(tl.int32)
    while (need > spare) & (need < found) & (low < high):
        width = high - low
        shift = tl.maximum(_top_bit(width) - 2, 0)
        n1, n2, n3, n4, n5, n6, n7 = _digit_counts(own, keys, first, last, low, width, shift, TILE, STEP, STREAMED)
        digit, above, within = _weigh(n7, need, 0, 0, found)
        digit, above, within = _weigh(n7 + n6, need, digit, above, within)
        digit, above, within = _weigh(n7 + n6 + n5, need, digit, above, within)
        digit, above, within = _weigh(n7 + n6 + n5 + n4, need, digit, above, within)
        digit, above, within = _weigh(n7 + n6 + n5 + n4 + n3, need, digit, above, within)
        digit, above, within = _weigh(n7 + n6 + n5 + n4 + n3 + n2, need, digit, above, within)
        digit, above, within = _weigh(n7 + n6 + n5 + n4 + n3 + n2 + n1, need, digit, above, within)
        low += digit.to(tl.uint32) << shift
        high = low + tl.minimum(high - low, ((1 << shift) - 1).to(tl.uint32))
        need -= above
        found = within - above
    return low, high, need, found


@triton.jit
def _weights(keys, top, high):
    """Of the softmax, of keys from 1 to `high`, which is that of the score `top`; of others 0."""
    return tl.where(keys - 1 < high, tl.exp(_score(keys) - top), 0.0)


@triton.jit
def _words(keys, top, total, highest):
    """int64: each candidate's share of the softmax, and above it a 1 that counts."""
    share = (_weights(keys, top, highest) / total * ONE).to(tl.int64)
    return tl.where(keys != NO_BLOCK, share + COUNTED, 0)


@triton.jit
def _digit_words(keys, words, low, width, shift, a, b, c, d):
    digit = tl.where(keys - low <= width, (keys - low) >> shift, 4)
    a += tl.where(digit == 0, words, 0)
    b += tl.where(digit == 1, words, 0)
    c += tl.where(digit == 2, words, 0)
    d += tl.where(digit == 3, words, 0)
    return a, b, c, d


@triton.jit
def _digit_shares(own, keys, first, last, low, width, shift, top, total, highest, TILE: tl.constexpr, STEP: tl.constexpr,
                  STREAMED: tl.constexpr):
    """Words of the blocks of each digit."""
    a = tl.zeros([TILE], tl.int64)
    b, c, d = a, a, a
    if STREAMED:
        for start in range(0, last, TILE):
            found = load_keys(own, start, first, last, TILE, STEP)
            a, b, c, d = _digit_words(found, _words(found, top, total, highest), low, width, shift, a, b, c, d)
    else:
        a, b, c, d = _digit_words(keys, _words(keys, top, total, highest), low, width, shift, a, b, c, d)
    return _sums(a, b, c, d)


@triton.jit
def _total(own, keys, first, last, top, highest, TILE: tl.constexpr, STEP: tl.constexpr, STREAMED: tl.constexpr):
    """1 at least: the best block's own weight is 1 where the shares make sense."""
    if STREAMED:
        weights = tl.zeros([TILE], tl.float32)
        for start in range(0, last, TILE):
            weights += _weights(load_keys(own, start, first, last, TILE, STEP), top, highest)
    else:
        weights = _weights(keys, top, highest)
    return tl.maximum(tl.sum(weights, 0), 1.0)


@triton.jit
def _weigh_share(words_above, need, goal, digit, above, within):
    enough = ((words_above >> SHIFT) >= need) | ((words_above & MASS) >= goal)
    return digit + enough.to(tl.int32), tl.where(enough, above, words_above), tl.where(
        enough, tl.minimum(within, words_above), within)


@triton.jit
def share_cut(own, keys, first, last, most, GOAL: tl.constexpr, TILE: tl.constexpr, STEP: tl.constexpr,
              STREAMED: tl.constexpr):
    """As best_cut, of the best until their shares reach GOAL (in units of 2**-SHARE_BITS), and at most `most`.

    The same descent with sums of shares beside the counts: the last block to be taken is the first, best first, with which
    either is enough. Where a score is infinite, or all are -inf or NaN, no share makes sense, and all are 0.
    """
    low, high = _extremes(own, keys, first, last, TILE, STEP, STREAMED)
    sane = (high > LOWEST) & (high < HIGHEST)
    top, highest = tl.where(sane, _score(high), 0.0), tl.where(sane, high, NO_BLOCK)
    total = _total(own, keys, first, last, top, highest, TILE, STEP, STREAMED)
    need = tl.minimum(most, last - first).to(tl.int64)
    a, b, c, d = _digit_shares(own, keys, first, last, low, high - low, 31, top, total, highest, TILE, STEP, STREAMED)
    inside = a + b
    goal = tl.full([], GOAL, tl.int64)
    while (need > 0) & ((inside >> SHIFT) > 1) & (low < high):
        shift = tl.maximum(_top_bit(high - low) - 1, 0)
        a, b, c, d = _digit_shares(own, keys, first, last, low, high - low, shift, top, total, highest, TILE, STEP, STREAMED)
        digit, above, within = _weigh_share(d, need, goal, 0, tl.zeros_like(inside), inside)
        digit, above, within = _weigh_share(d + c, need, goal, digit, above, within)
        digit, above, within = _weigh_share(d + c + b, need, goal, digit, above, within)
        low += digit.to(tl.uint32) << shift
        high = low + tl.minimum(high - low, ((1 << shift) - 1).to(tl.uint32))
        need -= above >> SHIFT
        goal -= above & MASS
        inside = within - above
    # All of the range are equals now: so many of them as it takes.
    found = inside >> SHIFT
    each = (inside & MASS) // tl.maximum(found, 1)
    wanted = tl.where(each > 0, (goal + each - 1) // tl.maximum(each, 1), found)
    return low, high, tl.minimum(need, wanted).to(tl.int32), found.to(tl.int32)


@triton.jit
def taken_of(keys, low, high, need, found, seen):
    """int32 [TILE], 1 where a block is taken; and how many of low .. high there are up to this tile, after `seen` before it."""
    inside = ((keys >= low) & (keys <= high)).to(tl.int32)
    taken = ((keys >= low) & (keys != NO_BLOCK)).to(tl.int32)
    if need < found:
        rank = seen + tl.cumsum(inside, 0)
        taken = ((keys > high) | ((inside > 0) & (rank <= need))).to(tl.int32)
    return taken, seen + tl.sum(inside, 0)


@triton.jit
def write_taken(entries, taken, start, place, TILE: tl.constexpr):
    """Lists the tile's taken blocks from entry `place` on, ascending; returns the next entry."""
    rank = tl.cumsum(taken, 0)
    tl.store(entries + (place + rank - 1), start + tl.arange(0, TILE), mask=taken > 0)
    return place + tl.sum(taken, 0)


@triton.jit
def write_run(entries, place, start, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """Lists the COUNT blocks from `start` on; WIDTH is a power of two that holds COUNT."""
    at = tl.arange(0, WIDTH)
    tl.store(entries + place + at, start + at, mask=at < COUNT)
