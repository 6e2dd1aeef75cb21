"""The cheap figures of the study's flows, on traces of the same tasks under a seed of their own."""
import time
from collections.abc import Mapping
from typing import Any

from machine import RESULTS, machine
from study_flows import CONTROL, EQUAL, FILE, POINT, STAGES, entry_of, read, read_file, write

from evaluator.tasks.reader import Reader
from evaluator.traces.capture import capture
from evaluator.traces.prompts import SEED, Prompt, prompts_of
from evaluator.traces.proxies import Figures, Traces, measure
from vortex.serving.embedded.engine import EmbeddedEngine

PROXIES = RESULTS / "proxies.json.gz"
SAMPLES, STEPS = 4, 3
CONDITIONS = {"equal": EQUAL, "point": FILE}


def measure_all() -> None:
    """Goes on where the file stands: one entry a flow and condition. A condition without recorded rows is left out."""
    body: dict[str, Any] = {"environment": machine(1), "seed": SEED, "samples": SAMPLES, "steps": STEPS, "figures": {}}
    body = read_file(PROXIES) if PROXIES.exists() else body
    engine = EmbeddedEngine("cpu")
    engine.start(POINT.model)
    traces = Traces(list(capture(engine, POINT, prompts(), STEPS)), POINT.block_size)
    for condition, file in CONDITIONS.items():
        own = body["figures"].setdefault(condition, {})
        for one in read_file(FILE)["flows"] if file.exists() else ():
            key = one["hash"]
            if key in own or one["graph"] is None:
                continue
            entry, began = entry_of(one), time.perf_counter()
            assert entry.graph is not None
            found = measure(traces, engine, entry.graph, entry.point, read(CONTROL) if condition == "equal" else None)
            own[key] = [figures_json(figures) for figures in found]
            write(PROXIES, body)
            print(f"{condition} {len(own):3} {time.perf_counter() - began:5.1f} s  {entry.name[:70]}", flush=True)
    engine.stop()


def prompts() -> list[Prompt]:
    """Of every task that the flows are scored on."""
    tasks = [task for settings in STAGES.values() for task in settings.get("tasks", ())]
    return prompts_of(tasks, SEED, SAMPLES, Reader.of(POINT))


def figures_json(figures: Figures) -> Mapping[str, Any]:
    return {"id": figures.id, "share": figures.share, **figures.values}
