"""Sharing of full prompt blocks: the same tokens after the same tokens have the same K, V and summaries."""
import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from vortex.serving.embedded.pool import Allocator


def chain(tokens: Sequence[int], block_size: int) -> list[bytes]:
    """A digest for each full block of `tokens`: of the block and of all before it."""
    digests: list[bytes] = []
    before = b""
    for start in range(0, len(tokens) - block_size + 1, block_size):
        text = ",".join(map(str, tokens[start:start + block_size]))
        before = hashlib.blake2b(before + text.encode(), digest_size=16).digest()
        digests.append(before)
    return digests


class PrefixCache:
    """Remembers which block holds what; holds those blocks itself, and lets go of the longest unused when asked."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._blocks: OrderedDict[bytes, int] = OrderedDict()     # longest unused first

    def find(self, digests: Sequence[bytes]) -> list[int]:
        """The blocks of the longest known beginning, held once more for the caller."""
        known: list[bytes] = []
        for digest in digests:
            if digest not in self._blocks:
                break
            known.append(digest)
        self._touch(known)
        found = [self._blocks[digest] for digest in known]
        self._allocator.hold(found)
        return found

    def add(self, digests: Sequence[bytes], blocks: Sequence[int]) -> None:
        """Remembers finished blocks; a block whose content is known already is left to its request."""
        for digest, block in zip(digests, blocks, strict=True):
            if digest not in self._blocks:
                self._blocks[digest] = block
                self._allocator.hold([block])
        self._touch(digests)

    def evict(self, wanted: int) -> None:
        """Lets go of blocks that no request holds, until `wanted` blocks are free or none is left to give."""
        for digest, block in list(self._blocks.items()):
            if self._allocator.free >= wanted:
                return
            if self._allocator.holders(block) == 1:
                del self._blocks[digest]
                self._allocator.release([block])

    def _touch(self, digests: Sequence[bytes]) -> None:
        # The end of a chain is of no use without its beginning: it goes first.
        for digest in reversed(digests):
            self._blocks.move_to_end(digest)
