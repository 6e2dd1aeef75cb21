"""A/A: campaigns over copies of one flow, where whatever is announced is false.

    python benchmarks/aa.py [--campaigns 200]     # benchmarks/results/aa.json and docs/aa.png

Rows are simulated (benchmarks/simulated.py); the rules are the evaluator's: the confirm stage decides who is worth it and
who is confirmed. Beside it stands what other ways to announce a winner would have announced over the same rows.
"""
import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import RESULTS, record
from numpy.random import Generator
from scipy import stats
from simulated import answers, confirm_rows, difficulty, rival, timings

from evaluator.report import Estimate, RowsByStage
from evaluator.stage import Context, Rival
from evaluator.stages.confirm import ConfirmSettings, ConfirmStage
from evaluator.statistics import CONFIRM_STAGE, accuracy, best_of, confirmation, difference, on_this_set, speed, split_confirm
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

COPIES = 40
PROBLEMS = 64                   # of the search, and as many fresh ones to confirm
SPEED = 3.0
RUN_SPREADS = (0.04, 0.0, 0.02, 0.06)
WAYS = ("better mean", "95 % interval", "fresh rows, 5 % each", "confirmed")
SETTINGS = ConfirmSettings()
POINT = OperatingPoint(topk_ratio=0.125)
_, _SOURCE, _PATH = flows.read("quest")
GRAPH = load(_SOURCE, str(_PATH), Geometry(16, 32, 2))


@dataclass
class Outcome:
    """Of one campaign: in which ways a winner was announced, and by how much its best accuracy overstates."""

    announced: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(WAYS, False))
    attempts: int = 0
    overstated: float = 0.0
    overstated_shrunken: float = 0.0


@dataclass
class World:
    """One flow's true figures: chances on the problems of the search and on the fresh ones."""

    draw: Generator
    shares: Any
    fresh: Any
    run_spread: float

    def searched(self, scale: float = 1.0, speed: float = SPEED, repeats: int = 1) -> RowsByStage:
        return {"reasoning": answers(self.draw, self.shares**scale, repeats),
                "speed": timings(self.draw, speed, self.run_spread)}

    def confirmed(self, scale: float = 1.0, speed: float = SPEED, repeats: int = 1) -> RowsByStage:
        return {"reasoning": answers(self.draw, self.fresh**scale, repeats, "confirm"),
                "speed": timings(self.draw, speed, self.run_spread, SETTINGS.repeats)}


def campaign(seed: int, run_spread: float, repeats: int = 1, copies: int = COPIES) -> Outcome:
    """Dense and the flow itself are controls; then the copies come, one after the other."""
    draw = np.random.default_rng(seed)
    world = World(draw, difficulty(draw, PROBLEMS), difficulty(draw, PROBLEMS), run_spread)
    dense = rival(1, "dense", "control", world.searched(0.8, 1.0, repeats), confirm_rows(world.confirmed(0.8, 1.0, repeats)))
    itself = rival(2, "itself", "control", world.searched(repeats=repeats), confirm_rows(world.confirmed(repeats=repeats)))
    rivals, outcome, found = [dense, itself], Outcome(), []
    for number in range(3, 3 + copies):
        own = world.searched(repeats=repeats)
        found.append(on_this_set(own) if repeats > 1 else accuracy(own))
        _announce(outcome, own, itself)
        context = Context(point=POINT, graph=GRAPH, own=own, rivals=rivals)
        tier, fresh = "provisional", world.confirmed(repeats=repeats)
        if not ConfirmStage(SETTINGS).skip(context):
            outcome.attempts += 1
            tier = _confirm(outcome, fresh, context)
        rivals = _frontier([*rivals, rival(number, f"copy {number}", tier, own,
                                           confirm_rows(fresh) if tier == "confirmed" else ())])
    truth = float(np.mean(world.shares))
    outcome.overstated = max(one.value for one in found) - truth
    outcome.overstated_shrunken = best_of(found).value - truth
    return outcome


def _confirm(outcome: Outcome, fresh: RowsByStage, context: Context) -> str:
    rows = confirm_rows(fresh)
    result = ConfirmStage(SETTINGS, attempt=outcome.attempts).result(rows, context)
    measured = [rival(one.id, one.name, one.tier, split_confirm(one.rows[CONFIRM_STAGE])) for one in context.rivals
                if CONFIRM_STAGE in one.rows]
    outcome.announced["fresh rows, 5 % each"] |= confirmation(fresh, measured, 1).p <= 0.05
    outcome.announced["confirmed"] |= result.facts["confirmed"]
    return "confirmed" if result.facts["confirmed"] else "provisional"


def _announce(outcome: Outcome, own: RowsByStage, itself: Rival) -> None:
    """What a search that trusts its own rows says of one candidate."""
    ahead = accuracy(own).value > accuracy(itself.rows).value or speed(own).value > speed(itself.rows).value
    outcome.announced["better mean"] |= ahead
    faster = _log_interval_low(speed(own), speed(itself.rows)) > 0
    outcome.announced["95 % interval"] |= difference(own, itself.rows).low > 0 or faster


def _log_interval_low(ours: Estimate, theirs: Estimate) -> float:
    halves = [math.log(one.high / one.low) / 2 for one in (ours, theirs)]
    return math.log(ours.value / theirs.value) - math.hypot(*halves)


def _frontier(rivals: Sequence[Rival]) -> list[Rival]:
    """Controls and confirmed ones stay; of the rest those that nothing has better means than."""
    means = {one.id: (accuracy(one.rows).value, speed(one.rows).value) for one in rivals}
    def beaten(one: Rival) -> bool:
        mine = means[one.id]
        return any(theirs != mine and theirs[0] >= mine[0] and theirs[1] >= mine[1] for theirs in means.values())
    return [one for one in rivals if one.tier != "provisional" or not beaten(one)]


def share(times: int, of: int) -> dict[str, float]:
    """A share with its 95 % interval (Wilson 1927)."""
    interval = stats.binomtest(times, of).proportion_ci(method="wilson")
    return {"share": times / of, "low": float(interval.low), "high": float(interval.high), "times": times, "of": of}


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"announced": {way: share(sum(one.announced[way] for one in outcomes), len(outcomes)) for way in WAYS},
            "attempts": float(np.mean([one.attempts for one in outcomes])),
            "overstated": float(np.mean([one.overstated for one in outcomes])),
            "overstated_shrunken": float(np.mean([one.overstated_shrunken for one in outcomes]))}


def plot(cells: Mapping[str, Any], path: Path) -> None:
    """Campaigns that announce a winner, by how much runs of one flow differ, a line a way to announce."""
    from matplotlib.figure import Figure  # tests read this file without it

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for way in WAYS:
        found = [cell["announced"][way] for cell in cells.values()]
        low, high = ([abs(one["share"] - one[end]) for one in found] for end in ("low", "high"))
        axes.errorbar([100 * float(name) for name in cells], [one["share"] for one in found], yerr=[low, high], capsize=3,
                      marker="o", markersize=3, label=way)
    axes.axhline(SETTINGS.alpha, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("standard deviation between runs of one flow, %")
    axes.set_ylabel("campaigns with a false winner")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=200)
    campaigns = parser.parse_args().campaigns
    cells = {}
    for spread in RUN_SPREADS:
        cells[str(spread)] = report([campaign(seed, spread) for seed in range(campaigns)])
        print(spread, {way: one["share"] for way, one in cells[str(spread)]["announced"].items()}, flush=True)
    cells = dict(sorted(cells.items(), key=lambda one: float(one[0])))
    repeated = report([campaign(seed, RUN_SPREADS[0], repeats=4) for seed in range(campaigns)])
    print("4 repeats", repeated, flush=True)
    record("aa", 1, {"copies": COPIES, "problems": PROBLEMS, "by_run_spread": cells, "four_repeats": repeated})
    plot(cells, RESULTS.parents[1] / "docs" / "aa.png")


if __name__ == "__main__":
    main()
