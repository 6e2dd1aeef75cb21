"""Whether a candidate, measured again, is as good as its bundle says."""
import math
from dataclasses import dataclass

from evaluator import statistics
from evaluator.report import Estimate
from search.candidate import Entry
from search.export import Bundle
from search.words import accuracy_text, speed_text

SPEED_TOLERANCE = 0.10                # two runs of one flow differ by more than the repeats within a run


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One metric, here and in the manifest. `change` is a difference for accuracy, a ratio for speed.

    `holds` unless it is worse beyond doubt; `here` is None where it could not be measured.
    """

    metric: str
    here: Estimate | None
    there: Estimate
    change: Estimate | None
    holds: bool

    @property
    def text(self) -> str:
        """`accuracy 0.93 ±.02 here, 0.94 ±.02 in the manifest: difference -0.010 [-0.040, +0.020], as good`"""
        show = accuracy_text if self.metric == "accuracy" else speed_text
        if self.here is None or self.change is None:
            return f"{self.metric} could not be measured here; {show(self.there)} in the manifest"
        c = self.change
        change = (f"difference {c.value:+.3f} [{c.low:+.3f}, {c.high:+.3f}]" if self.metric == "accuracy"
                  else f"ratio {c.value:.2f} [{c.low:.2f}, {c.high:.2f}]")
        verdict = "as good" if self.holds else "worse"
        return f"{self.metric} {show(self.here)} here, {show(self.there)} in the manifest: {change}, {verdict}"


def as_good_as(bundle: Bundle, here: Entry) -> tuple[Verdict, ...]:
    """Accuracy over the problems that both answered, and speed as a multiple of each one's own dense decode."""
    theirs = Entry(candidate=here.candidate, report=here.report, rows=bundle.rows).by_stage
    ours = here.by_stage
    found = []
    if any(stage in theirs for stage in statistics.ACCURACY_STAGES):
        measured = any(stage in ours for stage in statistics.ACCURACY_STAGES)
        gap = statistics.difference(ours, theirs) if measured else None
        found.append(Verdict(metric="accuracy", here=statistics.accuracy(ours) if measured else None,
                             there=statistics.accuracy(theirs), change=gap, holds=gap is not None and gap.high >= 0))
    if statistics.SPEED_STAGE in theirs:
        there = statistics.speed(theirs)
        speed = statistics.speed(ours) if len(ours.get(statistics.SPEED_STAGE, ())) > 1 else None
        ratio = None if speed is None else _ratio(speed, there)
        found.append(Verdict(metric="speed", here=speed, there=there, change=ratio,
                             holds=ratio is not None and ratio.high >= 1 - SPEED_TOLERANCE))
    return tuple(found)


def _ratio(here: Estimate, there: Estimate) -> Estimate:
    """Of two independent figures; their errors add up as those of logarithms."""
    value = here.value / there.value
    spread = math.hypot(here.half_width / here.value, there.half_width / there.value)
    return Estimate(value=value, low=value * math.exp(-spread), high=value * math.exp(spread),
                    count=min(here.count, there.count))
