"""Parameter files for flows that need a model's own numbers: strong channels, principal directions of its keys."""
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vortex.config import OperatingPoint
from vortex.serving.engine import Engine, Request

Seen = Sequence[tuple[torch.Tensor, torch.Tensor]]      # of one layer and kv head: q [G, D] and k [T, D], a pair a prompt


@dataclass(frozen=True)
class Calibration:
    """What a built-in flow reads: the key of its tensor, and how one layer's and kv head's part is made."""

    key: str
    part: Callable[[Seen, int], torch.Tensor]
    size: Callable[[int], int]                          # of head_dim: how many channels or directions are kept


def strong_channels(seen: Seen, kept: int) -> torch.Tensor:
    """[1, kept]: the channels d of the largest mean |q_d k_d|, ascending (Double Sparsity, arXiv 2408.07092)."""
    weight = torch.stack([q.abs().mean(dim=0) * k.abs().mean(dim=0) for q, k in seen]).mean(dim=0)
    return weight.topk(kept).indices.sort().values.float()[None]


def principal_directions(seen: Seen, kept: int) -> torch.Tensor:
    """[D, kept]: the orthonormal directions along which keys vary most, strongest first (Loki, arXiv 2406.02542)."""
    keys = torch.cat([k for _, k in seen]).double()
    apart = keys - keys.mean(dim=0)
    _, vectors = torch.linalg.eigh(apart.T @ apart)
    basis = vectors.flip(1)[:, :kept]
    # The sign of a direction is arbitrary: its largest entry is made positive, so that a second run writes the same file.
    largest = basis.abs().argmax(dim=0, keepdim=True)
    turned: torch.Tensor = basis * basis.gather(0, largest).sign()
    return turned.float()


CALIBRATIONS: Mapping[str, Calibration] = {
    "double-sparsity": Calibration("channels", strong_channels, lambda head_dim: max(1, head_dim // 8)),
    "loki": Calibration("basis", principal_directions, lambda head_dim: max(1, head_dim // 4)),
}


def observe(engine: Engine, prompts: Iterable[str], block_size: int) -> Mapping[tuple[int, int], Seen]:
    """Query and keys of the first dense decode step after each prompt, by (layer, kv head)."""
    engine.use(None, OperatingPoint(block_size=block_size))
    requests = [Request(id=str(i), tokens=tuple(engine.tokenizer.encode(text)), max_new_tokens=2, ignore_eos=True)
                for i, text in enumerate(prompts)]
    with engine.record("qkv") as recording:
        list(engine.generate(requests))
    seen: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = defaultdict(list)
    for event in recording.events:
        _note(seen, event)
    return seen


def _note(seen: Mapping[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]], event: Mapping[str, Any]) -> None:
    for q, k in zip(event["q"], event["k"], strict=True):
        for head in range(q.shape[0]):
            seen[event["layer"], head].append((q[head].float().cpu(), k[head].float().cpu()))


def calibrated(name: str, seen: Mapping[tuple[int, int], Seen]) -> dict[str, torch.Tensor]:
    """The tensors of NAME's parameter file: float32 [layers, kv heads, rows, cols]."""
    calibration = CALIBRATIONS[name]
    layers, heads = (1 + max(key[axis] for key in seen) for axis in (0, 1))
    kept = calibration.size(next(iter(seen.values()))[0][1].shape[1])
    parts = [[calibration.part(seen[layer, head], kept) for head in range(heads)] for layer in range(layers)]
    return {calibration.key: torch.stack([torch.stack(row) for row in parts]).contiguous()}
