"""Who attends to less where it is timed than where it answers: its speed is not that of its answers."""
from collections import defaultdict
from collections.abc import Iterable

from evaluator.report import Row
from evaluator.statistics.names import SPEED_STAGE

LEAST = 0.75                 # of the share of its budget that it takes where it answers
ADVICE = ("a flow is to attend alike at any length and on any keys and values. topk(k=) takes as many blocks of a long text as "
          "of a short one: leave k out, or ask and time at one length")


def less_when_timed(rows: Iterable[Row]) -> str:
    """What is wrong, or "". Rows of all stages; `used` of some tells blocks `taken` and blocks `allowed` by the point."""
    timed: dict[str, list[Row]] = defaultdict(list)
    answered = []
    for row in rows:
        if row.data.get("used"):
            if "step_ms" in row.data:
                timed[row.problem.removeprefix(f"{SPEED_STAGE}/")].append(row)
            else:
                answered.append(row)
    if not (timed and answered):
        return ""
    shape, least = min(((shape, _share(own)) for shape, own in timed.items()), key=lambda one: one[1])
    usual = _share(answered)
    if least >= LEAST * usual:
        return ""
    return f"it takes {least:.2f} times its budget where it is timed ({shape}), and {usual:.2f} times where it answers: {ADVICE}"


def _share(rows: Iterable[Row]) -> float:
    used = [row.data["used"] for row in rows]
    return float(sum(one["taken"] for one in used) / sum(one["allowed"] for one in used))
