"""How concentrated a model's attention is on its traces, by layer and kv head; and what a flow attends of it."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from evaluator.traces.offline import offline
from evaluator.traces.proxies import Traces
from vortex.budget import budget
from vortex.config import OperatingPoint
from vortex.ir import Graph


@dataclass(frozen=True, kw_only=True)
class Heads:
    """One number a layer and kv head, [L][H], means over trajectories and captured steps."""

    values: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float:
        flat = [value for row in self.values for value in row]
        return sum(flat) / len(flat)

    def worst(self, *, low: bool) -> tuple[int, int, float]:
        """(layer, kv head, value) of the least value (`low`), or of the largest."""
        places = [(value, layer, head) for layer, row in enumerate(self.values) for head, value in enumerate(row)]
        value, layer, head = min(places) if low else max(places)
        return layer, head, value

    @staticmethod
    def of(parts: Sequence[torch.Tensor]) -> "Heads":
        """Of tensors [P, L, H], one a trajectory; trajectories weigh the same."""
        mean = torch.stack([part.mean(dim=0) for part in parts]).mean(dim=0)
        return Heads(values=tuple(tuple(float(value) for value in row) for row in mean))


@dataclass(frozen=True, kw_only=True)
class FlowProfile:
    """What a flow attends at a point."""

    mass: Heads
    recall: Heads
    error: Heads


def best_mass(traces: Traces, point: OperatingPoint) -> Heads:
    """The most mass that the point's budget can hold, the reserved blocks in it."""
    return Heads.of([torch.stack([torch.stack([_held(mass, point) for mass in layers]) for layers in traces.truth(one).mass])
                     for one in traces.trajectories])


def _held(mass: torch.Tensor, point: OperatingPoint) -> torch.Tensor:
    """[H]: the mass in the best blocks of `mass` [H, n]."""
    heads, blocks = mass.shape
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    most = budget(blocks, point)
    if most >= blocks:
        return torch.ones(heads)
    middle = mass[:, bos:blocks - eos]
    best = middle.topk(min(most - bos - eos, middle.shape[1]), dim=1).values.sum(dim=1)
    return mass[:, :bos].sum(dim=1) + best + mass[:, blocks - eos:].sum(dim=1)


def sink(traces: Traces) -> Heads:
    """The mass in the first block."""
    return Heads.of([torch.stack([torch.stack([mass[:, 0] for mass in layers]) for layers in traces.truth(one).mass])
                     for one in traces.trajectories])


def flow_profile(traces: Traces, graph: Graph, point: OperatingPoint) -> FlowProfile:
    """Raises VortexError where the flow does not fit the model."""
    found = [offline(graph, point, one, traces.truth(one)) for one in traces.trajectories]
    return FlowProfile(mass=Heads.of([one.mass for one in found]), recall=Heads.of([one.recall for one in found]),
                       error=Heads.of([one.error for one in found]))


def profile_json(trajectories: int, sinks: Heads, best: Mapping[float, Heads],
                 found: Mapping[tuple[str, float], FlowProfile]) -> Mapping[str, object]:
    """Plain values by layer and kv head."""
    flows = [{"flow": name, "ratio": share, "mass": one.mass.values, "recall": one.recall.values,
              "output_error": one.error.values} for (name, share), one in found.items()]
    return {"trajectories": trajectories, "sink": sinks.values,
            "most_mass": {f"{share:g}": one.values for share, one in best.items()}, "flows": flows}
