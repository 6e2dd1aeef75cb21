"""What numerics and audit say of counted selections, and when there is nothing to count."""
from collections.abc import Mapping, Sequence
from typing import Any

from evaluator.report import Row
from evaluator.stage import Context
from vortex.config import OperatingPoint

_MOST_EXCHANGED = 0.5         # of the selections; honest engines stay under a few hundredths
COUNTED = ("compared", "agreed", "exchanged")


def share(data: Mapping[str, Any]) -> float:
    """Of one request's selections, those that the reference confirms; none where nothing was recorded."""
    return float(data["agreed"] / max(1, data["compared"]))


def counts(rows: Sequence[Row]) -> dict[str, int]:
    return {key: sum(row.data[key] for row in rows) for key in COUNTED}


def fault(rows: Sequence[Row]) -> tuple[str, str]:
    """The code of what is wrong with the selections of all rows, and a sentence; both empty where nothing is."""
    found = counts(rows)
    first = next((row for row in rows if row.score < 1), None)
    if first is not None and not found["compared"]:
        return "nothing-recorded", "the engine recorded no selection"
    if first is not None:
        return "selection-differs", (f"{found['compared'] - found['agreed']} of {found['compared']} selections differ; "
                                     f"{first.data['first'] or f'of {first.problem} none was recorded'}")
    if found["exchanged"] > _MOST_EXCHANGED * found["compared"]:
        return "rests-on-rounding", (f"{found['exchanged']} of {found['compared']} selections are not the reference's, and all "
                                     "of them for scores that rounding exchanges: nothing can be said of this engine")
    return "", ""


def nothing_to_compare(context: Context) -> str:
    """Why no selection can be compared; empty where there is one."""
    point = context.point
    if context.graph is None or _selects(point):
        return ""
    return f"every layer of {point.model} is dense at this point, so that nothing is selected"


def _selects(point: OperatingPoint) -> bool:
    if not point.layers_skip and "dense" not in point.layer_modes:
        return True
    from vortex.serving.checkpoint import find_checkpoint  # seconds of imports that most points do without

    return any(point.mode(layer) != "dense" for layer in range(find_checkpoint(point.model, point.engine).shape.layers))
