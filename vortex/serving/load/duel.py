"""A running server under the same load, dense and with a flow in turns; it is swapped, never restarted."""
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.load.client import Observed, observe
from vortex.serving.load.compare import Side, Turn, order
from vortex.serving.load.latency import Slo, latencies
from vortex.serving.load.traffic import Traffic

Ask = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
Watch = Callable[[int, Side, int], None]  # the number of the turn, its side, requests that ended
COUNTED = ("steps", "dense_steps", "selected_blocks", "possible_blocks")
WARM_SEED = 1 << 31                       # prompts of the warm-up are none of the load's


@dataclass(frozen=True, kw_only=True)
class Duel:
    """`ask` reaches the schedulers of the server at `url` (vortex/serving/sglang/control.py). Before each load `warm`
    requests run unnoted, then the prefix cache is emptied, so that every side prefills the same."""

    url: str
    ask: Ask
    graph: Graph
    point: OperatingPoint
    traffic: Traffic
    slo: Slo
    rounds: int = 1
    warm: int = 2

    def turns(self, watch: Watch = lambda turn, side, ended: None) -> list[Turn]:
        """Raises EngineError; the server keeps what it then serves."""
        return [self._turn(number, side, watch) for number, side in enumerate(order(self.rounds))]

    def _turn(self, number: int, side: Side, watch: Watch) -> Turn:
        watch(number, side, 0)
        swap_s = self.swap(side)
        if self.warm:
            observe(self.url, replace(self.traffic, requests=self.warm, rate=float("inf"), seed=self.traffic.seed + WARM_SEED))
        self.ask({"do": "flush"})
        ended = list[Observed]()

        def heard(one: Observed) -> None:
            ended.append(one)
            watch(number, side, len(ended))

        before = self._counted()
        observed = observe(self.url, self.traffic, heard)
        after = self._counted()
        return Turn(side=side, swap_s=swap_s, observed=tuple(observed), told=latencies(observed, self.slo),
                    counted={name: after[name] - before[name] for name in after if name in before})

    def swap(self, side: Side) -> float:
        """Seconds until it serves this side, by the clock of who asks."""
        graph = self.graph.to_json() if side == "flow" else None
        began = time.perf_counter()
        self.ask({"do": "use", "graph": graph, "point": self.point.model_dump(mode="json")})
        return time.perf_counter() - began

    def _counted(self) -> dict[str, int]:
        """Of the first rank."""
        told = self.ask({"do": "counters"})[0]
        return {name: int(told[name]) for name in COUNTED if name in told}
