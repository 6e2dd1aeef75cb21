"""How attention is cut into programs: what its machine code depends on, tiles by kind and chip, splits by the size of a batch."""
from dataclasses import dataclass
from functools import cache

import torch
import triton

from vortex.compiler.kernels.kernel import Constant

PROCESSORS = 132                          # of an H100 or H200: what shapes are made for where there is no GPU
STARTUP = 2                               # what a program spends before and after its loop, in tiles
JOINING = 1                               # what a second kernel costs, in tiles
WEIGHED = 32                              # query heads that weigh_blocks takes at a time
WAVES = 4                                 # more programs than fill the chip so many times over gain nothing


@dataclass(frozen=True)
class Tile:
    """How a program is cut: tokens of a step of its loop, warps, stages of the pipeline, programs that share a processor."""

    tokens: int
    warps: int
    stages: int
    resident: int


# By the bytes of a key. A tile of keys and values is held stages - 1 times. Lists are short: small programs, three a processor,
# hide each other's beginning and end. All of a context is long: fewer programs with more of it under way.
SPARSE = {128: Tile(64, 4, 3, 3), 256: Tile(64, 4, 3, 3), 512: Tile(32, 4, 3, 2), 2048: Tile(16, 4, 3, 1)}
DENSE = {128: Tile(128, 4, 3, 3), 256: Tile(64, 4, 4, 2), 512: Tile(64, 4, 3, 1), 2048: Tile(16, 4, 3, 1)}
# By query heads of a program. A tile of 576 channels is read once for both products, the queries lie in shared memory beside it.
# 64 heads fill the registers, and are too many where fp8 has to be widened; sm_100 keeps a second copy of a tile.
LATENT = {16: Tile(32, 4, 3, 2), 32: Tile(32, 8, 3, 1), 64: Tile(32, 8, 3, 1)}
LATENT_100 = {**LATENT, 64: Tile(32, 8, 2, 1)}
PLAIN = Tile(32, 4, 1, 1)                 # products in float32 leave no registers for a pipeline


@dataclass(frozen=True, kw_only=True)
class AttentionShape:
    """What the machine code of attention depends on. With a `rank` values are the first so many channels of the keys."""

    group: int                            # G: query heads of a kv head
    channels: int                         # D: of a key
    values: int                           # V: channels of a value
    block_size: int
    sparse: bool
    dtype: torch.dtype = torch.bfloat16   # of queries and output
    cache: torch.dtype = torch.bfloat16   # of the pools
    rank: int = 0
    upcast: bool = False                  # products in float32
    chip: int = 90                        # compute capability times ten
    cut: Tile | None = None               # in place of the table's

    @property
    def heads(self) -> int:
        """M: query heads of a program. Tensor cores take 16 rows; more heads share one reading of the cache."""
        wide = self.rank and self.chip >= 90 and self.cache.itemsize == 2 and not self.upcast
        return min(64 if wide else 32, padded(self.group))

    @property
    def groups(self) -> int:
        """Programs that the query heads of a row are cut into."""
        return -(-self.group // self.heads)

    @property
    def tile(self) -> Tile:
        if self.cut is not None:
            return self.cut
        if self.upcast:
            return PLAIN
        if self.rank:
            return (LATENT_100 if self.chip >= 100 else LATENT)[self.heads]
        wide = max(self.channels, self.values) * self.cache.itemsize
        return next(tile for most, tile in (SPARSE if self.sparse else DENSE).items() if wide <= most)

    def constants(self, heads: int = 64) -> dict[str, Constant]:
        """What the kernels that read keys share; of one that takes at most `heads` query heads at a time."""
        first = self.rank or self.channels
        rest = self.channels - first
        return {"G": self.group, "D": self.channels, "HEAD": first, "TAIL": rest, "HEAD_PAD": padded(first),
                "TAIL_PAD": padded(rest), "S": self.block_size, "T": self.tile.tokens, "M": min(heads, self.heads),
                "UPCAST": self.upcast}

    def splits(self, rows: int, listed: int, processors: int = PROCESSORS) -> int:
        """How many programs share a row of at most `listed` entries: as many as fill the chip evenly, known from shapes alone."""
        programs, slots = rows * self.groups, processors * self.tile.resident
        tiles = max(1, -(-listed * self.block_size // self.tile.tokens))

        def spent(splits: int) -> tuple[int, int]:
            waves = -(-programs * splits // slots)
            return waves * (-(-tiles // splits) + STARTUP) + JOINING * (splits > 1), splits

        return min(range(1, min(tiles, -(-WAVES * slots // programs)) + 1), key=spent)


def padded(size: int) -> int:
    """Products take channels and query heads by powers of two, 16 at least."""
    return max(16, int(triton.next_power_of_2(size)))


@cache
def processors_of(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).multi_processor_count) if device.type == "cuda" else PROCESSORS


@cache
def chip_of(device: torch.device) -> int:
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return major * 10 + minor
