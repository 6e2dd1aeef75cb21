"""The verdict on a claim: a pure function of what the archive measured, never of what a model says of it."""
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.claims import Claim, Direction, Prediction
from evaluator import statistics
from evaluator.report import Estimate, Report, Row, RowsByStage, Status
from search.candidate import Entry

MARGINS = {"accuracy": 0.02, "ratio": math.log(1.05)}     # a change within these is none that counts
ALIASES = {
    "accuracy": "accuracy quality score recall correctness exactness",
    "speed": "speed speedup throughput goodput decode tokens",
    "latency": "latency time step cost",
    "bytes": "bytes reads read traffic bandwidth io bytes_per_step",
    "memory": "memory storage summary summaries footprint index_bytes_per_block",
}
MEANT = {word: objective for objective, words in ALIASES.items() for word in words.split()}
FACTS = {"bytes": ("bytes_per_step", "bytes_per_row"), "memory": ("index_bytes_per_block",)}
MIRRORED: Mapping[Direction, Direction] = {"up": "down", "down": "up", "same": "same"}
MEASURED = (Status.OK, Status.GATE, Status.STOPPED)        # how a candidate ends whose figures can be believed


class Ruling(StrEnum):
    """`undecided`: measured, and the interval leaves it open. `untested`: nothing that was predicted was measured."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    UNTESTED = "untested"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one objective against the rival: a difference of accuracies, a ratio of all else (1: the same)."""

    objective: str
    estimate: Estimate

    @property
    def is_ratio(self) -> bool:
        return self.objective in ("speed", "bytes", "memory")

    @property
    def ends(self) -> tuple[float, float]:
        """The interval on the scale where no change is 0 and both directions weigh the same."""
        low, high = self.estimate.low, self.estimate.high
        return (math.log(low), math.log(high)) if self.is_ratio else (low, high)

    @property
    def middle(self) -> float:
        """The mean on that scale."""
        return math.log(self.estimate.value) if self.is_ratio else self.estimate.value

    @property
    def margin(self) -> float:
        return MARGINS["ratio" if self.is_ratio else "accuracy"]

    @property
    def is_wide(self) -> bool:
        """Whether an effect worth the name may hide in the interval, either way."""
        low, high = self.ends
        return low < 0 < high and (high - low) / 2 > self.margin

    @property
    def is_none(self) -> bool:
        """Whether it was measured that nothing changed: the interval holds zero and nothing far from it."""
        low, high = self.ends
        return low <= 0 <= high and (high - low) / 2 <= 2 * self.margin

    @property
    def text(self) -> str:
        """`accuracy +0.012 [-0.004, +0.028]`, `speed x1.31 [1.28, 1.34]`, `bytes x0.50`"""
        e = self.estimate
        if self.is_ratio:
            span = "" if e.low == e.high else f" [{e.low:.2f}, {e.high:.2f}]"
            return f"{self.objective} x{e.value:.2f}{span}"
        return f"{self.objective} {e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}]"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One prediction and what was measured of it; no change: its objective was not measured on both sides."""

    prediction: Prediction
    ruling: Ruling
    change: Change | None = None

    @property
    def text(self) -> str:
        """`predicted accuracy up by 0.02: refuted, accuracy -0.100 [-0.190, -0.010]`"""
        objective, direction, amount = self.prediction
        said = f"predicted {objective} {direction}" + ("" if amount is None else f" by {amount:g}")
        return f"{said}: {self.ruling}, {self.change.text if self.change else 'not measured'}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`rival` is the candidate it was compared with, `effects` what changed whether predicted or not, and `ended` how it
    ended where that was not ok: `retrieval: below-gate`."""

    ruling: Ruling
    rival: int | None = None
    findings: tuple[Finding, ...] = ()
    effects: tuple[Change, ...] = ()
    ended: str = ""

    @property
    def text(self) -> str:
        """The ruling and the figures that it rests on, on one line."""
        shown = [finding.text for finding in self.findings] or [effect.text for effect in self.effects]
        against = "" if self.rival is None else f" against {self.rival}"
        return "; ".join([f"{self.ruling}{against}", *shown, *([f"ended at {self.ended}"] if self.ended else [])])

    def to_json(self) -> dict[str, Any]:
        return {"ruling": self.ruling.value, "rival": self.rival, "ended": self.ended,
                "findings": [{"prediction": list(f.prediction), "ruling": f.ruling.value, "change": _change_json(f.change)}
                             for f in self.findings],
                "effects": [_change_json(effect) for effect in self.effects]}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Verdict":
        findings = tuple(Finding(prediction=Prediction(*f["prediction"]), ruling=Ruling(f["ruling"]),
                                 change=_change_from(f["change"])) for f in body["findings"])
        effects = tuple(change for body in body["effects"] if (change := _change_from(body)) is not None)
        return Verdict(ruling=Ruling(body["ruling"]), rival=body["rival"], findings=findings, effects=effects,
                       ended=body["ended"])


def _change_json(change: Change | None) -> dict[str, Any] | None:
    return None if change is None else {"objective": change.objective, "estimate": vars(change.estimate)}


def _change_from(body: Mapping[str, Any] | None) -> Change | None:
    return None if body is None else Change(objective=body["objective"], estimate=Estimate(**body["estimate"]))


def verdict(claim: Claim, ours: Entry, theirs: Entry | None) -> Verdict:
    """On `claim` of `ours`, measured against `theirs`.

    A claim without a prediction is taken to say that the flow is better in accuracy or speed and worse in neither.
    """
    ended = _ended(ours)
    if theirs is None or ours.candidate.status not in MEASURED:
        return Verdict(ruling=Ruling.UNTESTED, ended=ended)
    effects = tuple(c for name in ("accuracy", "speed", "bytes") if (c := change(name, ours, theirs)) is not None)
    findings = tuple(_finding(one, ours, theirs) for one in claim.prediction)
    ruling = _together([f.ruling for f in findings]) if findings else improved(effects)
    return Verdict(ruling=ruling, rival=theirs.candidate.id, findings=findings, effects=effects, ended=ended)


def ruled(low: float, high: float, direction: Direction, least: float | None, margin: float) -> Ruling:
    """What an interval of a change says of a direction, on a scale where no change is 0.

    Up is supported by an interval above 0 that reaches `least`, refuted by one that stays below it, or below `margin`
    where no least was said; down mirrors it. Same is supported within `least` (else `margin`) and refuted outside.
    """
    if direction == "down":
        return ruled(-high, -low, "up", least, margin)
    if direction == "same":
        bound = margin if least is None else least
        if -bound <= low and high <= bound:
            return Ruling.SUPPORTED
        return Ruling.REFUTED if low > bound or high < -bound else Ruling.UNDECIDED
    if low > 0 and high >= (least or 0.0):
        return Ruling.SUPPORTED
    return Ruling.REFUTED if high < (least or margin) else Ruling.UNDECIDED


def improved(effects: Iterable[Change]) -> Ruling:
    """Better in accuracy or speed, and in the other not worse by its mean: supported; the other way round, or neither
    better beyond the margins: refuted. A trade is undecided."""
    known = [one for one in effects if one.objective in ("accuracy", "speed")]
    if not known:
        return Ruling.UNTESTED
    better = any(one.ends[0] > 0 for one in known) and all(one.middle >= -one.margin for one in known)
    worse = any(one.ends[1] < 0 for one in known) and all(one.middle <= one.margin for one in known)
    if better != worse:
        return Ruling.SUPPORTED if better else Ruling.REFUTED
    return Ruling.REFUTED if all(one.ends[1] < one.margin for one in known) else Ruling.UNDECIDED


def change(objective: str, ours: Entry, theirs: Entry) -> Change | None:
    """By a name of MEANT, of a stage or of a task; None where it was not measured on both sides."""
    meant = MEANT.get(objective, objective)
    if meant in ("speed", "latency"):
        found = _ratio(ours.report.metric("speed"), theirs.report.metric("speed"))
        return None if found is None else Change(objective="speed", estimate=found)
    if meant in FACTS:
        pairs = [(_fact(ours.report, name), _fact(theirs.report, name)) for name in FACTS[meant]]
        ratio = next((a / b for a, b in pairs if a and b), None)
        return None if ratio is None else Change(objective=meant, estimate=Estimate(value=ratio, low=ratio, high=ratio,
                                                                                    count=1))
    estimate = _paired(meant, ours, theirs) or _unpaired(meant, ours, theirs)
    return None if estimate is None else Change(objective=meant, estimate=estimate)


def _finding(prediction: Prediction, ours: Entry, theirs: Entry) -> Finding:
    found = change(prediction.objective, ours, theirs)
    if found is None:
        return Finding(prediction=prediction, ruling=Ruling.UNTESTED)
    mirrored = MEANT.get(prediction.objective) == "latency"
    direction = MIRRORED[prediction.direction] if mirrored else prediction.direction
    least = _least(prediction, found)
    return Finding(prediction=prediction, change=found, ruling=ruled(*found.ends, direction, least, found.margin))


def _least(prediction: Prediction, found: Change) -> float | None:
    """The amount on the scale of the ends. Of a ratio one above 1 is a factor; of accuracy one above 1 is in points."""
    amount = prediction.amount
    if amount is None or not math.isfinite(amount) or amount == 0:
        return None
    amount = abs(amount)
    if not found.is_ratio:
        return amount / 100 if amount > 1 else amount
    if amount > 1:
        return math.log(amount)
    if prediction.direction == "down":
        return math.inf if amount == 1 else -math.log1p(-amount)
    return math.log1p(amount)


def _together(rulings: list[Ruling]) -> Ruling:
    """One refuted prediction refutes; all supported support; the rest leaves it open."""
    if Ruling.REFUTED in rulings:
        return Ruling.REFUTED
    return rulings[0] if len(set(rulings)) == 1 else Ruling.UNDECIDED


def _ratio(ours: Estimate | None, theirs: Estimate | None) -> Estimate | None:
    """Of two figures that err independently; their errors add up as those of logarithms."""
    if ours is None or theirs is None or min(ours.low, theirs.low) <= 0:
        return None
    value = ours.value / theirs.value
    spread = math.hypot(*(math.log(one.high / one.low) / 2 for one in (ours, theirs)))
    return Estimate(value=value, low=value * math.exp(-spread), high=value * math.exp(spread),
                    count=min(ours.count, theirs.count))


def _paired(name: str, ours: Entry, theirs: Entry) -> Estimate | None:
    """Over the problems that both answered."""
    found = statistics.difference(_rows(name, ours), _rows(name, theirs))
    return found if found.count else None


def _rows(name: str, entry: Entry) -> RowsByStage:
    """Rows of the accuracy stages; of one stage or one task where it is named."""
    def counts(row: Row) -> bool:
        return name in ("accuracy", row.stage, row.problem.split("/")[0])

    found = {stage: [row for row in rows if counts(row)] for stage, rows in entry.by_stage.items()
             if stage in statistics.ACCURACY_STAGES}
    return {stage: rows for stage, rows in found.items() if rows}


def _unpaired(name: str, ours: Entry, theirs: Entry) -> Estimate | None:
    """From the figures of the stage where ours ended: no rows are kept at hand of what did not end ok."""
    stage = ours.report.results[-1].stage if name == "accuracy" and ours.report.results else name
    a, b = ours.report.metric(stage), theirs.report.metric(stage)
    if stage not in statistics.ACCURACY_STAGES or a is None or b is None:
        return None
    value, half = a.value - b.value, math.hypot(a.half_width, b.half_width)
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half), count=min(a.count, b.count))


def _fact(report: Report, name: str) -> float | None:
    values = [r.facts[name] for r in report.results if isinstance(r.facts.get(name), int | float)]
    return float(values[-1]) if values else None


def _ended(entry: Entry) -> str:
    status = entry.candidate.status
    if status in (None, Status.OK):
        return "" if status else "not judged yet"
    last = entry.report.results[-1] if entry.report.results else None
    return str(status) if last is None else f"{last.stage}: {last.code or status}"
