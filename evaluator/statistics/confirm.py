"""Whether a candidate, measured afresh, is better than every rival: the test behind the tier "confirmed".

An intersection-union test (Berger 1982): each rival must be beaten at the whole level. To beat one it takes one of the
two objectives, so each of those is tested at half of it (Bonferroni). The attempts of a campaign share `alpha`.
"""
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from evaluator.report import Row, RowsByStage
from evaluator.statistics.centre import size
from evaluator.statistics.dominance import RUN_SPREAD, SPEED_FLOOR, Measured
from evaluator.statistics.names import SPEED_STAGE
from evaluator.statistics.scores import difference, gap, pairs
from evaluator.statistics.timings import probability_as_fast, speed


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """`p` is that of the rival hardest to beat, `against` its id, `level` what the attempt may spend."""

    confirmed: bool
    p: float
    level: float
    against: int | None
    text: str


def split_confirm(rows: Sequence[Row]) -> RowsByStage:
    """Rows of the confirm stage, STAGE/TASK/confirm/INDEX, as rows of the inner stages, TASK/confirm/INDEX."""
    inner: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        stage, _, problem = row.problem.partition("/")
        inner[stage].append(replace(row, stage=stage, problem=problem))
    return dict(inner)


def level_of(attempt: int, alpha: float = 0.05) -> float:
    """What the confirm attempt (1, 2, ...) of a campaign may spend: alpha 6 / (pi^2 i^2), which sums to alpha."""
    assert attempt >= 1
    return alpha * 6 / (math.pi * attempt) ** 2


def confirmation(ours: RowsByStage, rivals: Sequence[Measured], attempt: int, alpha: float = 0.05) -> Confirmation:
    """Better than each rival in accuracy or speed, on rows of the confirm problems and timings? See the module.

    Rivals without rows in common cannot be beaten, and nobody is confirmed against no rival at all.
    """
    level = level_of(attempt, alpha)
    if not rivals:
        return Confirmation(confirmed=False, p=1.0, level=level, against=None, text="not confirmed: there is no rival")
    p, hardest = max(((_p_better(ours, rival.rows), rival) for rival in rivals), key=lambda one: one[0])
    confirmed = p <= level
    verdict = "better than each rival" if confirmed else f"may be no better than {hardest.name} (#{hardest.id})"
    text = (f"{'' if confirmed else 'not '}confirmed: {verdict}; hardest: {_against(ours, hardest)}, p {p:.2g}, "
            f"level {level:.2g} of attempt {attempt}")
    return Confirmation(confirmed=confirmed, p=p, level=level, against=hardest.id, text=text)


def _p_better(ours: RowsByStage, theirs: RowsByStage) -> float:
    return min(1.0, 2 * min(p_more_accurate(ours, theirs), p_faster(ours, theirs)))


def p_more_accurate(ours: RowsByStage, theirs: RowsByStage) -> float:
    """One-sided p-value of "not more accurate": Student's t over problems with pseudo-rows; 1 where none is shared."""
    groups = pairs(ours, theirs)
    if not groups:
        return 1.0
    middle = gap(groups)
    return float(special.stdtr(max(1, size(groups) - 1), -middle.value / middle.error))


def p_faster(ours: RowsByStage, theirs: RowsByStage) -> float:
    """One-sided p-value of "not faster by more than SPEED_FLOOR"; 1 where one was not timed twice."""
    if min(len(rows.get(SPEED_STAGE, ())) for rows in (ours, theirs)) < 2:
        return 1.0
    return probability_as_fast(theirs, ours, lead=1 / (1 + SPEED_FLOOR) - 1, run_spread=RUN_SPREAD)


def _against(ours: RowsByStage, rival: Measured) -> str:
    gap_ = difference(ours, rival.rows)
    parts = [f"accuracy {gap_.value:+.3f} [{gap_.low:+.3f}, {gap_.high:+.3f}]" if gap_.count else "no problem in common"]
    if all(len(rows.get(SPEED_STAGE, ())) >= 2 for rows in (ours, rival.rows)):
        parts.append(f"speed x{speed(ours).value / speed(rival.rows).value:.2f}")
    return f"{rival.name} (#{rival.id}), {', '.join(parts)}"
