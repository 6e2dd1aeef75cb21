"""All tasks with a sentence each: what `vortex tasks` prints."""
from collections.abc import Iterator

from evaluator.tasks.maths import SETS
from evaluator.tasks.registry import PRESETS
from evaluator.tasks.ruler.family import KINDS
from evaluator.tasks.scorers import SCORERS


def listed() -> Iterator[tuple[str, str]]:
    """Names, or the forms that names of a family take."""
    yield from ((f"math:{name}", kind.doc) for name, kind in SETS.items())
    yield "math:NAME=FILE", "The same from a local file (.jsonl, .parquet, .csv) with the columns of the set."
    yield "ruler:TASK:LENGTH", f"RULER, fitted to the model's tokens, such as ruler:vt:16k. Tasks: {', '.join(KINDS)}."
    yield "ruler-faithful:TASK:LENGTH", "RULER as the public generator makes it, biases and all."
    yield "file:PATH[:SCORER]", f"Problems of your own, a line of JSON each. Scorers: {', '.join(SCORERS)}."
    for name, preset in PRESETS.items():
        settings = ", ".join(f"{key} {value}" for key, value in preset.settings.items())
        yield name, f"For the probe: {preset.task.doc[:1].lower()}{preset.task.doc[1:-1]} ({settings})."
