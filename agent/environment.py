"""Where a measurement is taken: machine and versions, as the archive keeps them."""
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.manifest import versions


def processor() -> str:
    """The name of the CPU, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def environment() -> Mapping[str, Any]:
    """Machine, processor, cores, versions of Python and libraries."""
    return {"machine": platform.machine(), "processor": processor(), "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.release()}", "versions": versions()}
