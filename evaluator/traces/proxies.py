"""The cheap figures of a flow on recorded traces, at equal bytes or at a point as it is; each by name, lower or higher better."""
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from evaluator.traces.allowance import Spending, allowed_bytes, spend
from evaluator.traces.capture import Trajectory
from evaluator.traces.divergence import divergence
from evaluator.traces.offline import Truth, means, offline, truth
from vortex.compiler.cost import Shape
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph
from vortex.serving.engine import Engine, Replays

ROUND_TO = 128                            # tokens: budgets are made for lengths rounded up, so that paths share a point


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one trajectory: proxies by name, and the share of the allowed bytes that was read."""

    id: str
    values: Mapping[str, float]
    share: float


@dataclass
class Traces:
    """Trajectories of one model, with what dense attention gives on them."""

    trajectories: Sequence[Trajectory]
    block_size: int
    _truths: dict[str, Truth] = field(default_factory=dict)

    def truth(self, one: Trajectory) -> Truth:
        if one.id not in self._truths:
            self._truths[one.id] = truth(one, self.block_size)
        return self._truths[one.id]

    @property
    def geometry(self) -> Geometry:
        """What flows are traced for on this model."""
        _, _, _, group, channels = self.trajectories[0].q.shape
        return Geometry(block_size=self.block_size, head_dim=channels, group=group)

    def shape(self, one: Trajectory) -> Shape:
        """What its last step is priced at."""
        tokens = len(one.path.prompt) + len(one.path.forced)
        return Shape(context=-(-tokens // ROUND_TO) * ROUND_TO, layers=one.layers, kv_heads=one.kv_heads)

    def spending(self, graph: Graph, point: OperatingPoint, one: Trajectory, control: Graph | None) -> Spending:
        """With a `control`: the budget at which both read as much; without: the point as it is."""
        shape = self.shape(one)
        if control is None:
            own = allowed_bytes(graph, point, shape)
            return Spending(point=point, read_bytes=own, allowed_bytes=own)
        return spend(graph, point, shape, allowed_bytes(control, point, shape))


def measure(traces: Traces, engine: Engine | None, graph: Graph, point: OperatingPoint,
            control: Graph | None) -> list[Figures]:
    """The figures of every trajectory, in order. Next-token divergence needs an `engine` that replays, which then uses the
    flow. Raises VortexError where the flow does not fit the model."""
    spent = [traces.spending(graph, point, one, control) for one in traces.trajectories]
    values: list[dict[str, float]] = [dict(means(offline(graph, at.point, one, traces.truth(one))))
                                      for one, at in zip(traces.trajectories, spent, strict=True)]
    if isinstance(engine, Replays):
        for own, found in zip(values, replayed(traces, engine, graph, [at.point for at in spent]), strict=True):
            own.update(found)
    return [Figures(id=one.id, values=MappingProxyType(own), share=at.share)
            for one, own, at in zip(traces.trajectories, values, spent, strict=True)]


def replayed(traces: Traces, engine: Engine, graph: Graph, points: Sequence[OperatingPoint]) -> list[Mapping[str, float]]:
    """Divergence of every trajectory at its point; none where no dense log-probabilities were kept."""
    assert isinstance(engine, Replays)
    found: list[Mapping[str, float]] = [{} for _ in traces.trajectories]
    alike: dict[OperatingPoint, list[int]] = defaultdict(list)
    for index, (one, point) in enumerate(zip(traces.trajectories, points, strict=True)):
        if one.log_probs is not None:
            alike[point].append(index)
    for point, indices in alike.items():
        engine.use(graph, point)
        logits = engine.replay([traces.trajectories[i].path for i in indices])
        for index, own in zip(indices, logits, strict=True):
            dense = traces.trajectories[index].log_probs
            assert dense is not None
            found[index] = divergence(dense, torch.log_softmax(own, dim=-1))
    return found
