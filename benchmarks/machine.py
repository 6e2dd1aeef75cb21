"""What a benchmark was run on: hardware, versions, date; and where its record goes."""
import datetime
import json
import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def machine(threads: int) -> dict[str, Any]:
    """Hardware and versions of this run."""
    return {
        "date": datetime.date.today().isoformat(), "processor": processor(), "cores": os.cpu_count(), "threads": threads,
        "system": platform.platform(terse=True), "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers") if find_spec(name) is not None},
    }


def record(name: str, threads: int, results: Any, folder: Path = RESULTS) -> Path:
    """Writes `results` beside the machine they were measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(threads), "results": results}, indent=1) + "\n")
    return path
