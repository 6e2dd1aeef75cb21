"""`vortex frontier --by proposer`: the proposers of a campaign at one budget, as a table, JSON or CSV."""
import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agent.cli.text import columns
from search.contest import Contest, Costs, Side
from search.frontier import Standing
from search.store.archive import Archive
from search.words import accuracy_text, speed_text

ROUND = re.compile(r"round (\d+)/")


def costs(archive: Archive, campaign: str) -> Costs:
    """What each proposer spent in each round; a call that was lost counts with the most that it could cost."""
    found: dict[tuple[str, int], float] = defaultdict(float)
    for call in archive.ledger(campaign).calls():
        if place := ROUND.match(call.key):
            found[call.proposer, int(place[1])] += call.reserved_dollars if call.state == "lost" else call.dollars
    return dict(found)


def table(campaign: str, found: Contest) -> str:
    """What each reached with as many candidates, then with as many dollars, as the one with the least had."""
    if not found.whole:
        return f"campaign {campaign}: no proposer has a candidate yet"
    parts = [f"the first {found.count} candidates of each", _table(found.at_count, found)]
    if found.dollars is not None and len(found.at_dollars) > 1:
        parts += ["", f"what ${found.dollars:.4g} paid for", _table(found.at_dollars, found)]
    parts += ["", "all that each did", _table(found.whole, found)]
    parts += ["", "Hypervolume from accuracy 0 and speed 1x; its ends take all figures at the ends of their intervals."]
    return "\n".join(parts)


def _table(sides: Sequence[Side], found: Contest) -> str:
    head = ("proposer", "candidates", "measured", "cost", "hypervolume", *(f"best at {name}" for name in found.points.values()))
    return columns([head, *(_line(side, found) for side in sides)])


def _line(side: Side, found: Contest) -> tuple[str, ...]:
    area = side.hypervolume
    best = (side.best.get(key) for key in found.points)
    return (side.author, str(side.candidates), str(side.measured), f"${side.dollars:.4g}",
            f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]",
            *("-" if one is None else _best(one) for one in best))


def _best(one: Standing) -> str:
    return f"{accuracy_text(one.accuracy)} {speed_text(one.speed)} ({one.candidate.id})"


def record(campaign: str, found: Contest) -> dict[str, Any]:
    """The comparison as plain values."""
    return {"campaign": campaign, "candidates": found.count, "dollars": found.dollars, "points": dict(found.points),
            "at_candidates": [_side(side) for side in found.at_count],
            "at_dollars": [_side(side) for side in found.at_dollars], "all": [_side(side) for side in found.whole]}


def _side(side: Side) -> dict[str, Any]:
    return {"proposer": side.author, "candidates": side.candidates, "measured": side.measured, "dollars": side.dollars,
            "hypervolume": asdict(side.hypervolume),
            "best": {key: {"id": one.candidate.id, "accuracy": asdict(one.accuracy), "speed": asdict(one.speed)}
                     for key, one in side.best.items()}}


def as_csv(found: Contest) -> str:
    """A line a proposer and budget."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("budget", "proposer", "candidates", "measured", "dollars", "hypervolume", "hypervolume_low",
                     "hypervolume_high"))
    for budget, sides in (("candidates", found.at_count), ("dollars", found.at_dollars), ("all", found.whole)):
        for side in sides:
            area = side.hypervolume
            writer.writerow((budget, side.author, side.candidates, side.measured, side.dollars, area.value, area.low, area.high))
    return out.getvalue().rstrip("\n")
