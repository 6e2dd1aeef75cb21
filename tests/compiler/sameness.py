"""How many edits that keep the meaning are seen through, and what equal hashes select: for tests and the long run."""
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

import torch

from tests.compiler.edits import KINDS, NEAR_MISSES, edited, missed
from tests.compiler.flows import random_flow
from vortex.compiler import reference
from vortex.compiler.identity.form import identity
from vortex.compiler.reference import Row, Tensors
from vortex.config import OperatingPoint
from vortex.ir import Graph

BLOCKS, BOS, EOS = 14, 1, 2
TOLERANCE = 2e-4


@dataclass
class Tally:
    """Pairs tried and pairs of one hash, by kind of edit."""

    tried: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        return sum(self.same.values()) / max(1, sum(self.tried.values()))

    def table(self) -> str:
        rows = [f"{kind:55s} {self.same[kind]:6d} of {self.tried[kind]:6d}" for kind in KINDS]
        return "\n".join([*rows, f"{'all':55s} {100 * self.share:.2f} %"])


def tally(seeds: Iterable[int]) -> Tally:
    """Every kind of edit on every flow that has a place for it."""
    found = Tally()
    for seed in seeds:
        graph = random_flow(seed)
        digest = identity(graph)
        for kind in KINDS:
            other = edited(graph, kind, Random(seed))
            if other is not None:
                found.tried[kind] += 1
                found.same[kind] += identity(other) == digest
    return found


def near_misses(seeds: Iterable[int]) -> Iterator[tuple[str, Graph, Graph, bool]]:
    """(kind, flow, near miss, is its hash the same?)."""
    for seed in seeds:
        graph = random_flow(seed)
        for kind in NEAR_MISSES:
            other = missed(graph, kind, Random(seed))
            if other is not None:
                yield kind, graph, other, identity(other) == identity(graph)


def steps(graph: Graph, seed: int) -> list[tuple[set[int], torch.Tensor]]:
    """Blocks and scores of two decode steps of one row of random numbers."""
    size, channels, group = graph.geometry.block_size, graph.geometry.head_dim, graph.geometry.group
    point = OperatingPoint(block_size=size, topk_val=3, block_reserved_bos=BOS, block_reserved_eos=EOS)
    random = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(BLOCKS * size - 1, channels, generator=random) for _ in range(2))
    state: Tensors | None = None
    out = []
    for _ in range(2):
        made = reference.run(graph, point, Row(q=torch.randn(group, channels, generator=random), k=k, v=v, seed=seed), state)
        state = made.state
        assert made.score is not None
        out.append((set(made.blocks), made.score.flatten()))
    return out


def _is_best(blocks: set[int], score: torch.Tensor) -> bool:
    """Are `blocks` a right choice by `score`, near ties aside? NaN says nothing."""
    chosen = [float(score[i]) for i in range(BOS, len(score)) if i in blocks]
    others = [float(score[i]) for i in range(BOS, len(score)) if i not in blocks]
    middle = score[BOS:]
    if bool(middle.isnan().any()):
        return True
    slack = TOLERANCE * float(middle.max() - middle.min()) + 1e-6 * float(middle.abs().max())
    return min(chosen) >= max(others) or min(chosen) >= max(others) - slack


def select_alike(one: Graph, other: Graph, seeds: Iterable[int]) -> bool:
    """Is what one selects right by the other's scores? One way is enough: a function that saturates makes ties."""
    for seed in seeds:
        for (blocks, score), (others, other_score) in zip(steps(one, seed), steps(other, seed), strict=True):
            if not _is_best(blocks, other_score) and not _is_best(others, score):
                return False
    return True
