"""Continuous batching: who is admitted, with which blocks, and who is done; all of it follows from the requests."""
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from vortex.budget import num_blocks
from vortex.serving.embedded.pool import Allocator
from vortex.serving.embedded.prefix import PrefixCache, chain
from vortex.serving.embedded.sampling import Sampler
from vortex.serving.engine import Request


def blocks_needed(request: Request, block_size: int) -> int:
    """All blocks a request will ever fill; its last token is never stored."""
    return num_blocks(len(request.tokens) + request.max_new_tokens - 1, block_size)


@dataclass
class Running:
    """A request that has blocks. `tokens` holds the prompt and what was generated."""

    request: Request
    sampler: Sampler
    blocks: list[int]
    digests: list[bytes]                  # of the prompt's full blocks
    cached: int                           # prompt tokens taken from shared blocks
    tokens: list[int]
    prefill_s: float = 0.0
    decode_s: float = 0.0

    @property
    def new(self) -> tuple[int, ...]:
        return tuple(self.tokens[len(self.request.tokens):])


@dataclass
class Scheduler:
    """Admits in the order given, prompts of one length together up to `prefill_tokens`, `max_batch` at a time."""

    waiting: deque[Request]
    allocator: Allocator
    prefix: PrefixCache | None            # None: nothing is shared
    block_size: int
    max_batch: int
    prefill_tokens: int
    running: list[Running] = field(default_factory=list)

    def admit(self) -> list[Running]:
        """The next requests to prefill together: as many new tokens each, none waiting for another's blocks."""
        group: list[Running] = []
        pending: set[bytes] = set()
        while self.waiting and len(self.running) + len(group) < self.max_batch:
            digests = self._shareable(self.waiting[0])
            if group and not pending.isdisjoint(digests):
                break
            entry = self._enter(self.waiting[0], digests)
            if entry is None:
                break
            if group and not self._fits(group, entry):
                self.allocator.release(entry.blocks)
                break
            self.waiting.popleft()
            group.append(entry)
            pending.update(digests[entry.cached // self.block_size:])
        self.running.extend(group)
        return group

    def prefilled(self, group: Sequence[Running]) -> None:
        """The prompts' blocks are written: others may share them."""
        if self.prefix is not None:
            for entry in group:
                self.prefix.add(entry.digests, entry.blocks[:len(entry.digests)])

    def finish(self, entry: Running) -> None:
        self.running.remove(entry)
        self.allocator.release(entry.blocks)

    def _shareable(self, request: Request) -> list[bytes]:
        return chain(request.tokens, self.block_size) if self.prefix is not None else []

    def _fits(self, group: Sequence[Running], entry: Running) -> bool:
        fresh = len(entry.request.tokens) - entry.cached
        same = entry.cached == group[0].cached and len(entry.request.tokens) == len(group[0].request.tokens)
        return same and fresh * (len(group) + 1) <= self.prefill_tokens

    def _enter(self, request: Request, digests: list[bytes]) -> Running | None:
        """Blocks for the whole of a request's life, or None where there is no room yet."""
        # The last prompt token is always computed: its logits are the first answer.
        before_last = digests[:(len(request.tokens) - 1) // self.block_size]
        shared = self.prefix.find(before_last) if self.prefix is not None else []
        wanted = blocks_needed(request, self.block_size) - len(shared)
        if self.prefix is not None and self.allocator.free < wanted:
            self.prefix.evict(wanted)
        if self.allocator.free < wanted:
            self.allocator.release(shared)
            return None
        return Running(request=request, sampler=Sampler(request), blocks=shared + self.allocator.allocate(wanted),
                       digests=digests, cached=len(shared) * self.block_size, tokens=list(request.tokens))
