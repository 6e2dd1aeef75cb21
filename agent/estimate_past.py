"""What an archive tells of a model that a campaign is to measure: seconds of stages, what passed them, and rows of controls."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from agent.rivals import is_blind
from evaluator.report import Row, RowsByStage
from search.candidate import Entry
from search.store.archive import Archive
from vortex.config import OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an archive tells of the model of a campaign: seconds a row, dense decode's rows and those of each control that is
    an algorithm, by stage, and what passed."""

    row_s: Mapping[str, float]
    dense: RowsByStage
    passed: Mapping[str, float]
    candidates: int
    algorithms: Sequence[RowsByStage] = ()

    @staticmethod
    def of(archive: Archive | None, point: OperatingPoint, newest: int | None = None) -> "Past":
        """Of every campaign of the archive, or its `newest`, on this model and engine; without an archive nothing is known."""
        known = () if archive is None else [
            one for campaign in archive.campaigns()[-newest if newest else None:] for one in archive.entries(campaign.name)
            if (one.candidate.point.model, one.candidate.point.engine) == (point.model, point.engine)]
        return _past(known)


def _past(entries: Sequence[Entry]) -> Past:
    seconds: dict[str, list[float]] = {}
    came: dict[str, int] = {}
    went: dict[str, int] = {}
    for entry in entries:
        for stage, rows in entry.by_stage.items():
            seconds.setdefault(stage, []).append(sum(row.seconds for row in rows) / len(rows))
        if entry.candidate.tier != "control":
            for result in entry.report.results:
                came[result.stage] = came.get(result.stage, 0) + 1
                went[result.stage] = went.get(result.stage, 0) + (result.status.value == "ok")
    controls = [entry for entry in entries if entry.candidate.tier == "control" and not is_blind(entry.candidate)]
    return Past(row_s={stage: median(found) for stage, found in seconds.items()},
                dense=_merged([entry.by_stage for entry in controls if entry.candidate.is_dense]),
                passed={stage: went[stage] / count for stage, count in came.items()}, candidates=max(came.values(), default=0),
                algorithms=[entry.by_stage for entry in controls if not entry.candidate.is_dense])


def _merged(entries: Sequence[RowsByStage]) -> dict[str, list[Row]]:
    """Each answer once: campaigns over the same problems ask dense decode the same."""
    found: dict[str, dict[tuple[str, int], Row]] = {}
    for by_stage in entries:
        for stage, rows in by_stage.items():
            found.setdefault(stage, {}).update({(row.problem, row.repeat): row for row in rows})
    return {stage: list(rows.values()) for stage, rows in found.items()}
