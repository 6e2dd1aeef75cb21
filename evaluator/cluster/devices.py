"""What stages can run on here, told without Ray or torch."""
import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_QUERY = ("--query-gpu=index,name,memory.total,memory.used", "--format=csv,noheader,nounits")
_ANSWER_S = 10.0
_UNIQUE = ("GPU-", "MIG-")               # names that hold on any machine; a part of a split GPU has no number
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Device:
    """`count` devices of the same make; `memory_bytes` is that of each, `used_bytes` what is taken of it now. `index` is the
    driver's number of a GPU: of those that are told of, some may be missing."""

    kind: Literal["cpu", "gpu"]
    name: str
    count: int
    memory_bytes: int
    used_bytes: int = 0
    index: int = 0


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


def usable() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: those that it names, all where it is not set."""
    whole = [str(one.index) for one in gpus()]
    named = os.environ.get(VISIBLE)
    if named is None:
        return whole
    return [name for name in map(str.strip, named.split(",")) if name in whole or name.startswith(_UNIQUE)]


def taken_bytes(indices: Collection[int]) -> dict[int, int]:
    """Memory in use on GPUs, by index; those that cannot be asked about are left out."""
    return {one.index: one.used_bytes for one in gpus() if one.index in indices} if indices else {}


def parse(table: str) -> list[Device]:
    """Lines of index, name, MiB in all, MiB used. A line that names no memory, as of a GPU that is split, is left out."""
    found = []
    for line in table.splitlines():
        index, _, rest = line.partition(",")
        name, *sizes = rest.rsplit(",", 2)
        numbers = [part.strip() for part in (index, *sizes)]
        if len(numbers) == 3 and all(map(str.isdecimal, numbers)):
            number, total, used = map(int, numbers)
            found.append(Device(kind="gpu", name=name.strip(), count=1, memory_bytes=total << 20, used_bytes=used << 20,
                                index=number))
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "processor")
