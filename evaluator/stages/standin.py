"""A first rule of confirmation, until evaluator/statistics has its own."""
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from evaluator import statistics
from evaluator.report import Row, RowsByStage
from evaluator.stage import Rival


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    confirmed: bool
    p: float
    level: float
    against: int | None
    text: str


def split_confirm(rows: Sequence[Row]) -> RowsByStage:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        stage, _, problem = row.problem.partition("/")
        found[stage].append(replace(row, stage=stage, problem=problem))
    return dict(found)


def confirmation(ours: RowsByStage, rivals: Sequence[Rival], attempt: int, alpha: float = 0.05) -> Confirmation:
    level = alpha * 6 / (3.141592653589793**2 * attempt**2)
    worst, against = 0.0, None
    for rival in rivals:
        p = min(1.0, 2 * min(1 - statistics.probability_at_least(ours, rival.rows),
                             1 - statistics.probability_as_fast(ours, rival.rows)))
        if p >= worst:
            worst, against = p, rival.id
    name = next((one.name for one in rivals if one.id == against), "nothing")
    return Confirmation(confirmed=worst <= level, p=worst, level=level, against=against,
                        text=f"p = {worst:.2g} against {name} ({level:.2g} is allowed)")


def chance_on_frontier(own: RowsByStage, rivals: Sequence[Rival], total: int) -> float:
    chance = 1.0
    for rival in rivals:
        chance = min(chance, 1 - statistics.probability_dominates(rival.rows, own))
    return float(special.ndtr(10)) * chance
