"""What stages can run on here, told without Ray or torch."""
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_QUERY = ("--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits")
_ANSWER_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Device:
    """`count` devices of the same make; `memory_bytes` is that of each, `used_bytes` what is taken of it now."""

    kind: Literal["cpu", "gpu"]
    name: str
    count: int
    memory_bytes: int
    used_bytes: int = 0


def devices() -> list[Device]:
    """The GPUs, each on a line of its own, and the processors of this machine."""
    return [*gpus(), Device(kind="cpu", name=_processor(), count=len(os.sched_getaffinity(0)),
                            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]


def gpus() -> list[Device]:
    """In the driver's order; none where NVIDIA's own tool is missing or finds none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        told = subprocess.run([tool, *_QUERY], capture_output=True, text=True, timeout=_ANSWER_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(told)


def parse(table: str) -> list[Device]:
    """Lines of name, MiB in all, MiB used. A line that names no memory, as of a GPU that is split, is left out."""
    found = []
    for name, total, used in (line.rsplit(",", 2) for line in table.splitlines() if line.count(",") >= 2):
        if total.strip().isdecimal() and used.strip().isdecimal():
            found.append(Device(kind="gpu", name=name.strip(), count=1, memory_bytes=int(total) << 20,
                                used_bytes=int(used) << 20))
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "processor")
