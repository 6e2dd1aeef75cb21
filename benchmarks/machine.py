"""What a benchmark was run on: hardware, versions, date; and where its record goes."""
import datetime
import json
import os
import platform
from importlib.metadata import version
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
        "torch": version("torch"), "transformers": version("transformers"),
    }


def record(name: str, threads: int, results: Any, folder: Path = RESULTS) -> Path:
    """Writes `results` beside the machine they were measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(threads), "results": results}, indent=1) + "\n")
    return path
