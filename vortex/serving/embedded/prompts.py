"""Prompts computed once: a prefill is dense whatever the flow, so what it made serves every flow that comes after."""
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

KeyValue = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Prefilled:
    """What the prefill of a group of prompts made: k, v [B, H, T, D] of each layer, and logits [B, V] after them."""

    layers: tuple[KeyValue, ...]
    logits: torch.Tensor

    @property
    def num_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in (*self.layers, (self.logits,)) for t in pair)


class PromptCache:
    """The groups used last, up to `limit_bytes`. A group is kept whole: its figures are bit for bit those of its prefill."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._groups: OrderedDict[bytes, Prefilled] = OrderedDict()       # longest unused first
        self.num_bytes = 0

    def find(self, tokens: Sequence[Sequence[int]]) -> Prefilled | None:
        key = _key(tokens)
        if key in self._groups:
            self._groups.move_to_end(key)
        return self._groups.get(key)

    def keep(self, tokens: Sequence[Sequence[int]], made: Prefilled) -> None:
        """Remembers a group that `find` did not know; one larger than the limit is let go at once."""
        self._groups[_key(tokens)] = made
        self.num_bytes += made.num_bytes
        while self.num_bytes > self._limit_bytes:
            _, oldest = self._groups.popitem(last=False)
            self.num_bytes -= oldest.num_bytes


def _key(tokens: Sequence[Sequence[int]]) -> bytes:
    return hashlib.blake2b(repr([tuple(own) for own in tokens]).encode(), digest_size=16).digest()
