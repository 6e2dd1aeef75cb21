"""Racing, replayed over recorded rows: what it saves, and what it loses.

    python benchmarks/racing.py tune       # made rows: how limit, first look and block trade savings for losses
    python benchmarks/racing.py report     # recorded rows of real flows, 200 replays, the rule of the evaluator

A replay puts flows in a random order through a campaign twice: with every problem answered, and with racing. The exam is
that of the confirm stage; its problems are drawn, with replacement, from those on record, the same for both. Accuracies are
rows; speeds are the recorded medians (without them what the bytes of a step promise), with noise between runs and repeats.
"""
import argparse
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import RESULTS, record
from numpy.random import Generator
from simulated import confirm_rows, rival, timings

from evaluator.report import Row, RowsByStage
from evaluator.stage import Context, Rival
from evaluator.stages.confirm import ConfirmSettings, ConfirmStage, Waiting, in_turn
from evaluator.statistics import ACCURACY_STAGES, RUN_SPREAD, SPEED_FLOOR, accuracy, chance_on_frontier, speed, task_of
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

FILE = RESULTS / "flows.json.gz"
FLOWS = 60
CLOSE = 0.03                              # of accuracy
SETTINGS = ConfirmSettings()
POINT = OperatingPoint(topk_ratio=0.125)
_, _SOURCE, _PATH = flows.read("quest")
GRAPH = load(_SOURCE, str(_PATH), Geometry(16, 32, 2))


@dataclass(frozen=True)
class Rule:
    """Looks after `first` problems of a stage and every `block`; stops below `limit` times the share that is left. A limit of 0
    never stops. `together`: all tasks are those of one stage, asked in turns."""

    limit: float = 0.2
    first: int = 8
    block: int = 8
    together: bool = False


@dataclass(frozen=True)
class Recorded:
    """A flow's rows and its speed."""

    name: str
    speed: float
    rows: tuple[Row, ...]

    def fresh(self, seed: int) -> list[Row]:
        """As many problems again, drawn from these; the same ones for every flow."""
        ordered = sorted(self.rows, key=lambda row: (row.stage, row.problem))
        drawn = np.random.default_rng((seed, 1)).integers(0, len(ordered), len(ordered))
        return [replace(ordered[i], problem=f"{ordered[i].problem.split('/')[0]}/confirm/{k}") for k, i in enumerate(drawn)]


@dataclass(frozen=True)
class Ended:
    """A campaign: problems answered, flows that took the exam, flows confirmed, and those on its last frontier by their means."""

    answered: int
    examined: int
    confirmed: frozenset[str]
    frontier: frozenset[str]


def recorded(path: Path = FILE) -> list[Recorded]:
    """Dense first; the oracles and the blind controls are left out. Two flows of one name are told apart by a number."""
    body = json.loads(gzip.decompress(path.read_bytes()))["flows"]
    bytes_of_dense = next(one["bytes_per_step"] for one in body if one["name"] == "dense")
    found = []
    for number, one in enumerate(body):
        if one["origin"] in ("built-in", "evolved") or one["name"] == "dense":
            rows = [Row(stage=r["stage"], problem=r["problem"], repeat=r["repeat"], score=r["score"]) for r in one["rows"]]
            name = one["name"] if one["name"] == "dense" else f"{one['name']} {number}"
            fast = median(one["speeds"]) if "speeds" in one else bytes_of_dense / one["bytes_per_step"]
            found.append(Recorded(name, fast, tuple(rows)))
    return found


def made(draw: Generator, count: int = FLOWS, problems: int = 160) -> list[Recorded]:
    """Dense and `count` flows with abilities and speeds of their own, four tasks, difficulties of every kind."""
    found = []
    hard = 4 * draw.standard_normal(problems)
    for i in range(count + 1):
        ability = 8.0 if i == 0 else 2 * draw.standard_normal() + 0.5
        fast = 1.0 if i == 0 else 4 * np.exp(0.25 * draw.standard_normal() - 0.05 * ability)
        solved = draw.random(problems) < 1 / (1 + np.exp(hard - ability))
        rows = [Row(stage="retrieval", problem=f"task{k % 4}/1/{k // 4}", score=float(one)) for k, one in enumerate(solved)]
        found.append(Recorded("dense" if i == 0 else f"flow {i}", float(fast), tuple(rows)))
    return found


def replay(pool: Sequence[Recorded], seed: int, rule: Rule, count: int = FLOWS) -> tuple[Ended, Ended]:
    """One order of `count` flows and of the problems, in full and raced."""
    draw = np.random.default_rng(seed)
    dense, others = pool[0], pool[1:]
    chosen = [others[i] for i in draw.permutation(len(others))[:count]]
    order = {problem: place for place, problem in enumerate(draw.permutation(sorted({r.problem for r in dense.rows})))}
    timed = {one.name: (timings(draw, one.speed, RUN_SPREAD), timings(draw, one.speed, RUN_SPREAD, SETTINGS.repeats))
             for one in (dense, *chosen)}
    fresh = {one.name: confirm_rows(_by_stage((*one.fresh(seed), *timed[one.name][1]))) for one in (dense, *chosen)}
    return tuple(_campaign((dense, *chosen), order, timed, fresh, one) for one in (Rule(limit=0.0), rule))  # type: ignore[return-value]


def _campaign(pool: Sequence[Recorded], order: Mapping[str, int], timed: Mapping[str, Any],
              fresh: Mapping[str, Sequence[Row]], rule: Rule) -> Ended:
    """The search first, against what stands on the frontier by then; the exam once, when it has ended, as in a campaign."""
    dense, *chosen = pool
    standard = rival(0, "dense", "control", _by_stage((*dense.rows, *timed["dense"][0])), fresh["dense"])
    standing, whole, answered = [standard], [], 0
    for id, flow in enumerate(chosen, 1):
        rows = sorted(flow.rows, key=lambda row: (not rule.together and ACCURACY_STAGES.index(row.stage), order[row.problem]))
        used, own = _raced(rows, timed[flow.name][0], standing, rule)
        answered += used
        if used == len(rows):
            whole.append(rival(id, flow.name, "provisional", own, ()))
            standing = _frontier([*standing, whole[-1]])
    examined, confirmed = _examined(standard, whole, standing, fresh)
    return Ended(answered, examined, confirmed, frozenset(one.name for one in standing if one.tier != "control"))


def _examined(standard: Rival, whole: Sequence[Rival], standing: Sequence[Rival],
              fresh: Mapping[str, Sequence[Row]]) -> tuple[int, frozenset[str]]:
    """As agent/confirming.py does: each is compared with dense and with what was confirmed before it."""
    flows, waiting = {one.id: one for one in whole}, []
    for one in whole:
        others = tuple(other for other in standing if other.id != one.id)
        if not ConfirmStage(SETTINGS).skip(Context(point=POINT, graph=GRAPH, own=one.rows, rivals=others)):
            waiting.append(Waiting(one.id, ConfirmStage(SETTINGS).chance(one.rows, others), speed(one.rows).value))
    turns, passed = in_turn(waiting, SETTINGS.most), [standard]
    for attempt, turn in enumerate(turns, 1):
        one = flows[turn.id]
        context = Context(point=POINT, graph=GRAPH, own=one.rows, rivals=tuple(passed))
        if ConfirmStage(SETTINGS, attempt=attempt).result(fresh[one.name], context).facts["confirmed"]:
            passed.append(rival(one.id, one.name, "confirmed", one.rows, fresh[one.name]))
    return len(turns), frozenset(one.name for one in passed[1:])


def _raced(rows: Sequence[Row], timed: Sequence[Row], rivals: Sequence[Rival], rule: Rule) -> tuple[int, RowsByStage]:
    """How many of `rows` are answered before the flow stops or ends, and all rows at hand by then. As AccuracyStage does."""
    total, stages = Counter(map(task_of, rows)), Counter("" if rule.together else row.stage for row in rows)
    starts = accumulate(stages.values(), initial=0)
    looks = [start + look for start, size in zip(starts, stages.values(), strict=False)
             for look in range(rule.first, size, rule.block)] if rule.limit else []
    for look in looks:
        own = _by_stage((*rows[:look], *timed))
        if chance_on_frontier(own, rivals, total) < rule.limit * (1 - look / len(rows)):
            return look, own
    return len(rows), _by_stage((*rows, *timed))


def _by_stage(rows: Sequence[Row]) -> RowsByStage:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.stage].append(row)
    return dict(found)


def _frontier(rivals: Sequence[Rival]) -> list[Rival]:
    """Controls and confirmed ones stay; of the rest those that nothing has better means than."""
    return [one for one in rivals if one.tier != "provisional" or not _beaten(one, rivals)]


def _beaten(one: Rival, rivals: Sequence[Rival]) -> bool:
    mine = _means(one)
    return any(theirs != mine and theirs[0] >= mine[0] and theirs[1] >= mine[1] for theirs in map(_means, rivals))


def _means(one: Rival) -> tuple[float, float]:
    return accuracy(one.rows).value, speed(one.rows).value


def as_good(one: Recorded, others: Iterable[Recorded]) -> bool:
    """Whether another is as accurate and as fast, by all that is on record, or less so by no more than an exam can tell."""
    mine = accuracy(_by_stage(one.rows)).value
    return any(accuracy(_by_stage(other.rows)).value >= mine - CLOSE and other.speed >= one.speed / (1 + SPEED_FLOOR)
               for other in others)


def summary(pairs: Sequence[tuple[Ended, Ended]], pools: Sequence[Sequence[Recorded]]) -> dict[str, float]:
    """Over replays: the median share of problems answered, and confirmed and frontier points kept and added, all told.

    `kept_as_good`: confirmed points of the full campaign in whose place the raced one confirmed one as good.
    `added_worse`: points that the raced one confirmed although the full one confirmed nothing as good.
    """
    kept_as_good = worse = 0
    for (full, raced), pool in zip(pairs, pools, strict=True):
        flows = {one.name: one for one in pool}
        kept_as_good += sum(as_good(flows[name], [flows[n] for n in raced.confirmed]) for name in full.confirmed)
        worse += sum(not any(as_good(flows[name], [flows[n]]) or as_good(flows[n], [flows[name]]) for n in full.confirmed)
                     for name in raced.confirmed - full.confirmed)
    spent = [raced.answered / full.answered for full, raced in pairs]
    confirmed = sum(len(full.confirmed) for full, _ in pairs)
    frontier = sum(len(full.frontier) for full, _ in pairs)
    return {"spent_median": float(np.median(spent)), "spent_p90": float(np.quantile(spent, 0.9)),
            "confirmed": confirmed / len(pairs), "examined": sum(raced.examined for _, raced in pairs) / len(pairs),
            "examined_in_full": sum(full.examined for full, _ in pairs) / len(pairs),
            "kept": sum(len(full.confirmed & raced.confirmed) for full, raced in pairs) / max(1, confirmed),
            "kept_as_good": kept_as_good / max(1, confirmed), "added_worse": worse,
            "added": sum(len(raced.confirmed - full.confirmed) for full, raced in pairs),
            "frontier": frontier / len(pairs),
            "frontier_kept": sum(len(full.frontier & raced.frontier) for full, raced in pairs) / max(1, frontier),
            "frontier_added": sum(len(raced.frontier - full.frontier) for full, raced in pairs)}


def tune(replays: int) -> Iterator[dict[str, Any]]:
    """Every world of made rows is drawn afresh, the same for every rule."""
    for first in (8, 16):
        for limit in (0.05, 0.1, 0.2, 0.3):
            rule = Rule(limit=limit, first=first)
            pools = [made(np.random.default_rng(seed)) for seed in range(replays)]
            found = summary([replay(pool, seed, rule) for seed, pool in enumerate(pools)], pools)
            print(first, limit, {key: round(value, 3) for key, value in found.items()}, flush=True)
            yield {"limit": limit, "first": first, "block": rule.block, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "report"))
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--limits", type=float, nargs="*", default=[0.1, 0.2])
    options = parser.parse_args()
    if options.what == "tune":
        record("racing_tuning", 1, list(tune(options.replays)))
        return
    pool = recorded()
    rules = [Rule(limit=limit, together=together) for limit in options.limits for together in (False, True)]
    found = {}
    for rule in rules:
        pairs = [replay(pool, seed, rule) for seed in range(options.replays)]
        name = f"limit {rule.limit:g}, {'one stage' if rule.together else 'stage by stage'}"
        found[name] = summary(pairs, [pool] * len(pairs))
        print(name, found[name], flush=True)
    looks = {"first": Rule().first, "block": Rule().block}
    record("racing", 1, {"flows": len(pool) - 1, "replays": options.replays, **looks, "rules": found})


if __name__ == "__main__":
    main()
