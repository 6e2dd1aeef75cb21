"""The frontier as a table, as JSON and as CSV."""
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent.cli.text import columns
from agent.cli.words import MOST_NAME, short
from evaluator import statistics
from evaluator.report import Estimate
from search.candidate import Candidate
from search.frontier import Frontier, Place, Standing
from search.words import accuracy_text, bytes_text, lengths_text, share_text, speed_text

LEAST_FALL = 0.005                    # of accuracy that is worth a line


def table(frontier: Frontier, standings: Sequence[Standing], candidates: Mapping[int, Candidate]) -> str:
    """One line a candidate, under a head that names both lengths."""
    head = ("#", f"accuracy{lengths_text(frontier.accuracy_lengths)}", f"speed{lengths_text(frontier.speed_lengths)}",
            "tier", "flow", "share", "read per step", "found")
    return columns([head, *(_line(one, candidates) for one in standings)])


def shown(frontier: Frontier, all_of_them: bool) -> tuple[Standing, ...]:
    """The frontier and the controls; all that was measured with `all_of_them`."""
    return frontier.standings if all_of_them else frontier.at(Place.BEST, Place.CONTROL)


def rest_text(frontier: Frontier) -> str:
    """How many are not shown, and why."""
    near, beaten = len(frontier.at(Place.NEAR)), len(frontier.at(Place.BEATEN))
    parts = ([f"{near} more within noise of these"] if near else []) + ([f"{beaten} beaten"] if beaten else [])
    return f"{', '.join(parts)} (--all)." if parts else ""


def caution(frontier: Frontier) -> str:
    """What picking the best of many does to the figures of those that were not confirmed; empty where it is nothing."""
    tried = [one for one in frontier.standings if one.candidate.tier != "control" and not one.fresh]
    best = [i for i, one in enumerate(tried) if one.place is Place.BEST]
    if not best:
        return ""
    likely = statistics.shrunken([one.accuracy for one in tried])
    fall = sum(tried[i].accuracy.value - likely[i].value for i in best) / len(best)
    if fall < LEAST_FALL:
        return ""
    return (f"Provisional figures are the best of {len(tried)} tries: expect accuracy to fall by about {fall:.2f} "
            "on fresh problems (vortex confirm).")


def _line(one: Standing, candidates: Mapping[int, Candidate]) -> tuple[str, ...]:
    candidate = one.candidate
    share = "-" if candidate.is_dense else share_text(one.share)
    return (str(candidate.id), accuracy_text(one.accuracy), speed_text(one.speed), _tier(one),
            short(candidate.name, MOST_NAME), share, bytes_text(one.bytes_per_step), _found(candidate, candidates))


def _tier(one: Standing) -> str:
    places = {Place.NEAR: ", within noise", Place.BEATEN: ", beaten"}
    if one.fresh and one.candidate.tier == "provisional":
        return "not confirmed" + places.get(one.place, "")
    return one.candidate.tier + places.get(one.place, "")


def _found(candidate: Candidate, candidates: Mapping[int, Candidate]) -> str:
    if candidate.tier == "control":
        return "-"
    roots = dict.fromkeys(f"{candidates[p].name.split(' + ')[0]} ({p})" for p in candidate.parents if p in candidates)
    return f"round {candidate.round}" + (f", from {' and '.join(roots)}" if roots else "")


def record(one: Standing) -> dict[str, Any]:
    """A standing as plain values."""
    candidate = one.candidate
    return {
        "id": candidate.id, "name": candidate.name, "tier": candidate.tier, "place": str(one.place),
        "accuracy": asdict(one.accuracy), "speed": asdict(one.speed), "share": one.share,
        **{name: asdict(figure) for name, figure in _other_intervals(one).items()},
        "bytes_per_step": one.bytes_per_step, "round": candidate.round, "parents": list(candidate.parents),
        "author": candidate.author, "hypothesis": candidate.hypothesis, "flow_hash": candidate.flow.hash,
        "point": candidate.point.model_dump(mode="json"), "rival": one.rival, "doubt": one.doubt,
        "fresh": bool(one.fresh),
    }


def _other_intervals(one: Standing) -> dict[str, Estimate]:
    """Of the rows that its figures rest on."""
    return statistics.other_intervals(one.fresh or one.rows)


def as_csv(standings: Sequence[Standing]) -> str:
    """A head and a line a candidate; figures with the ends of their intervals, the other ones last."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "name", "tier", "place", "accuracy", "accuracy_low", "accuracy_high", "speed", "speed_low",
                     "speed_high", "share", "bytes_per_step", "round", "parents", "on_this_set_low", "on_this_set_high",
                     "other_runs_low", "other_runs_high"))
    for one in standings:
        candidate, a, s = one.candidate, one.accuracy, one.speed
        writer.writerow((candidate.id, candidate.name, candidate.tier, one.place, a.value, a.low, a.high, s.value, s.low,
                         s.high, one.share, one.bytes_per_step, candidate.round, " ".join(map(str, candidate.parents)),
                         *(end for other in _other_intervals(one).values() for end in (other.low, other.high))))
    return out.getvalue().rstrip("\n")
