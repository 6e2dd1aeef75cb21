"""What a flow attends on recorded steps, against all of it: output error, mass and recall, without running the model.

Letters of shapes as in capture.py, n blocks of a row. State, where a flow keeps any, stands at its first value.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from evaluator.traces.capture import Trajectory
from vortex.compiler.attention import block_mass
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.step import Blocks, StepState, decode_step

SEED = 0


@dataclass(frozen=True)
class Truth:
    """Dense attention at each captured step and layer: output [P, L, H, G, D]; mass of each block, [P][L] -> [H, n]."""

    output: torch.Tensor
    mass: tuple[tuple[torch.Tensor, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Offline:
    """Of each captured step, layer and kv head, [P, L, H]; a layer that attends everything has error 0 and mass 1.

    error: relative L2 distance of the attention output from the dense one, mean over the query heads. mass: softmax mass in
    the blocks attended. recall: share of these that as many blocks of the most mass have too. attended: share of blocks.
    """

    error: torch.Tensor
    mass: torch.Tensor
    recall: torch.Tensor
    attended: torch.Tensor

    @property
    def worst_head(self) -> float:
        """The largest mean error of a (layer, kv head)."""
        return float(self.error.mean(dim=0).max())


def truth(one: Trajectory, block_size: int) -> Truth:
    """What dense attention gives, and where its mass lies."""
    output = torch.stack([torch.stack([_dense(one, step, layer) for layer in range(one.layers)])
                          for step in range(len(one.lens))])
    mass = tuple(tuple(block_mass(one.q[step, layer], one.k[layer, :, :length], block_size) for layer in range(one.layers))
                 for step, length in enumerate(one.lens))
    return Truth(output, mass)


def _dense(one: Trajectory, step: int, layer: int) -> torch.Tensor:
    """[H, G, D]."""
    q, length = one.q[step, layer], one.lens[step]
    k, v = one.k[layer, :, :length], one.v[layer, :, :length]
    return torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, dim=-1) @ v


def offline(graph: Graph | None, point: OperatingPoint, one: Trajectory, right: Truth) -> Offline:
    """All captured steps of a trajectory as one batch, layer by layer. Raises VortexError where the flow does not fit."""
    shape = (len(one.lens), one.layers, one.kv_heads)
    found = Offline(error=torch.zeros(shape), mass=torch.ones(shape), recall=torch.ones(shape), attended=torch.ones(shape))
    state: StepState | None = None
    for layer in range(one.layers) if graph is not None else ():
        mode = point.mode(layer)
        if mode == "dense":
            continue
        assert graph is not None
        output, blocks, left = decode_step(graph, one.q[:, layer].flatten(1, 2), _own(one.k[layer], one.lens),
                                           _own(one.v[layer], one.lens), point, state if mode == "reuse" else None,
                                           layer=layer, seeds=[SEED + step for step in range(len(one.lens))])
        state = left
        assert isinstance(output, torch.Tensor)
        wanted = right.output[:, layer]
        gap = (output.view_as(wanted) - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp(min=1e-12)
        found.error[:, layer] = gap.mean(dim=-1)
        _note_blocks(found, layer, blocks, [masses[layer] for masses in right.mass])
    return found


def _own(tokens: torch.Tensor, lens: Sequence[int]) -> list[torch.Tensor]:
    """[length, H, D] for each captured step, of one layer's [H, T, D]."""
    return [tokens[:, :length].transpose(0, 1) for length in lens]


def _note_blocks(found: Offline, layer: int, blocks: Blocks, masses: Sequence[torch.Tensor]) -> None:
    for step, (heads, mass) in enumerate(zip(blocks, masses, strict=True)):
        for head, taken in enumerate(heads):
            own = mass[head]
            best = set(ranked(own, SEED + step)[:len(taken)])
            found.mass[step, layer, head] = own[taken].sum().clamp(max=1.0)
            found.recall[step, layer, head] = len(best.intersection(taken)) / len(taken)
            found.attended[step, layer, head] = len(taken) / len(own)


def ranked(mass: torch.Tensor, seed: int) -> list[int]:
    """Blocks by mass, most first; equal ones in an order drawn by `seed`, lest early blocks look better than others."""
    drawn = torch.randperm(len(mass), generator=torch.Generator().manual_seed(seed))
    order: list[int] = drawn[mass[drawn].sort(descending=True, stable=True).indices].tolist()
    return order


def means(found: Offline) -> Mapping[str, float]:
    """The proxies of one trajectory, by name."""
    return {"output_error": float(found.error.mean()), "worst_head": found.worst_head, "mass": float(found.mass.mean()),
            "recall": float(found.recall.mean())}
