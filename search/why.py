"""Why a candidate is, or is not, on the frontier: one or two sentences."""
from evaluator import statistics
from evaluator.report import Status
from search.candidate import EXAMS, SEALED, Entry
from search.frontier import CERTAIN, Frontier, Place, Standing, probability_dominates, shared

SAME = 0.05                           # bytes that differ by less than this share are called the same


def why(frontier: Frontier, entry: Entry) -> str:
    """For a candidate of the frontier's campaign, measured or not, and what exams made of it."""
    return _placed(frontier, entry) + "".join(_examined(entry, stage) for stage in EXAMS)


def _examined(entry: Entry, stage: str) -> str:
    """What came out on problems that the search never saw."""
    result = entry.report.result(stage)
    text = "" if result is None else str(result.facts.get("text", ""))
    return f" On {'sealed' if stage == SEALED else 'fresh'} problems: {text}." if text else ""


def _placed(frontier: Frontier, entry: Entry) -> str:
    one = frontier.find(entry.candidate.id)
    if one is None:
        return _unmeasured(entry)
    number = one.candidate.id
    rival = None if one.rival is None else frontier.find(one.rival)
    match one.place:
        case Place.CONTROL:
            return f"{number} is a control: a point of reference beside the frontier, not on it."
        case Place.BEST:
            return f"{number} is on the frontier: no other is as accurate and as fast.{_controls_ahead(frontier, one)}"
        case Place.BEATEN:
            assert rival is not None
            return f"{number} is not on the frontier: {_compared(rival, one)}."
        case Place.NEAR:
            assert rival is not None
            return (f"{number} is within noise of the frontier: {_compared(rival, one)}; "
                    f"to be beaten takes {CERTAIN:.2f}.")


def _compared(rival: Standing, one: Standing) -> str:
    """`23 reads half the bytes at the same accuracy (difference +0.004 ±.018, P(23 dominates) = 0.97)`."""
    gap = statistics.difference(*shared(rival, one))
    gains = [f"is {rival.speed.value / one.speed.value:.2f}x as fast"]
    if rival.bytes_per_step and one.bytes_per_step and rival.bytes_per_step <= one.bytes_per_step * (1 - SAME):
        gains.append(f"reads {rival.bytes_per_step / one.bytes_per_step:.2f} of the bytes")
    accuracy = "at the same accuracy" if gap.low <= 0 <= gap.high else "and is more accurate"
    number = rival.candidate.id
    return (f"{number} ({rival.candidate.name}) {' and '.join(gains)} {accuracy} "
            f"(difference {gap.value:+.3f} ±{_short(gap.half_width)}, P({number} dominates) = {one.doubt:.2f})")


def _controls_ahead(frontier: Frontier, one: Standing) -> str:
    ahead = [control for control in frontier.at(Place.CONTROL)
             if probability_dominates(control, one) >= CERTAIN]
    names = ", ".join(f"{control.candidate.name} ({control.candidate.id})" for control in ahead)
    return f" But a control does better: {names}." if ahead else ""


def _unmeasured(entry: Entry) -> str:
    number, status, report = entry.candidate.id, entry.candidate.status, entry.report
    if status is Status.DUPLICATE:
        first = entry.candidate.duplicate_of
        return f"{number} is not on the frontier: it is the same as {first} after rewriting, and was not run."
    if status is None:
        done = ", ".join(result.stage for result in report.results) or "no stage"
        return f"{number} is not judged yet ({done} so far)."
    if status is Status.OK or not report.results:
        return f"{number} is not on the frontier: accuracy and speed were not both measured."
    last = report.results[-1]
    return f"{number} is not on the frontier: it ended at {last.stage} ({last.code or status}). {last.message}".rstrip()


def _short(half_width: float) -> str:
    return f"{half_width:.3f}".removeprefix("0")
