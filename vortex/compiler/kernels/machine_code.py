"""What machine code tells of itself: the facts of a built kernel, read from ptxas's log, the PTX and the cubin."""
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vortex.config import Target

# Bytes that a block of threads may have at most: CUDA C Programming Guide, table of compute capabilities.
SHARED_LIMIT: Mapping[Target, int] = {"sm_80": 166_912, "sm_90": 232_448, "sm_100": 232_448}
INSTRUCTION_BYTES = 16
CODES = ("error", "timeout", "shared-memory", "spills")
LOAD = re.compile(r"\bld\.global((?:\.[\w:]+)*)")
ASYNC_COPY = re.compile(r"\bcp\.async\.c[ag]\.[^;]*?\],\s*(0x[0-9a-fA-F]+|\d+)")
BULK_COPY = re.compile(r"\bcp\.async\.bulk\.[^;]*\.global")
BULK_BYTES = 16                           # what one engine copies is counted as the widest load of a thread


@dataclass(frozen=True, kw_only=True)
class Built:
    """One kernel, built for one chip; sizes in bytes. `failed` is "" or "error" or "timeout", and `message` says more.

    `loads` counts the instructions that read global memory by what they read at once; `vectorised` is the share of those
    bytes that vector loads and asynchronous copies read. `seconds` is what building took, or the limit it ran into.
    """

    target: Target
    registers: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    stack: int = 0
    shared: int = 0
    instructions: int = 0
    loads: Mapping[int, int] = field(default_factory=dict)
    vectorised: float = 1.0
    seconds: float = 0.0
    failed: str = ""
    message: str = ""

    @property
    def spills(self) -> int:
        """Bytes a thread writes to and reads from memory because registers did not reach."""
        return self.spill_stores + self.spill_loads

    @property
    def shared_limit(self) -> int:
        return SHARED_LIMIT[self.target]

    @property
    def code(self) -> str:
        """One of CODES, the gravest first; "" for a kernel that is as it should be."""
        if self.failed:
            return self.failed
        if self.shared > self.shared_limit:
            return "shared-memory"
        return "spills" if self.spills else ""


def facts(log: str, ptx: str, cubin: bytes) -> dict[str, Any]:
    """The entries of Built that ptxas's log (of -v), its input and its output tell."""
    loads, vectorised = global_loads(ptx)
    return {"registers": _figure(r"Used (\d+) registers", log), "spill_stores": _figure(r"(\d+) bytes spill stores", log),
            "spill_loads": _figure(r"(\d+) bytes spill loads", log), "stack": _figure(r"(\d+) bytes stack frame", log),
            "instructions": instructions(cubin), "loads": loads, "vectorised": vectorised}


def _figure(pattern: str, log: str) -> int:
    """The largest of its kind. Raises ValueError for a log that has none: silence must not read as zero spills."""
    found = re.findall(pattern, log)
    if not found:
        raise ValueError(f"ptxas said nothing that reads {pattern!r}")
    return max(map(int, found))


def global_loads(ptx: str) -> tuple[dict[int, int], float]:
    """Loads of global memory by bytes a thread, and the share of bytes read by more than one word at a time."""
    counts: Counter[tuple[int, bool]] = Counter()
    for qualifiers in LOAD.findall(ptx):
        words = re.search(r"\.v(\d)", qualifiers)
        bits = re.search(r"\.[bsuf](\d+)$", qualifiers)
        if bits is not None:
            counts[int(bits[1]) // 8 * (int(words[1]) if words else 1), words is not None] += 1
    for size in ASYNC_COPY.findall(ptx):
        counts[int(size, 0), int(size, 0) > 4] += 1
    counts[BULK_BYTES, True] += len(BULK_COPY.findall(ptx))
    by_size: Counter[int] = Counter()
    for (size, _), count in counts.items():
        by_size[size] += count
    whole = sum(size * count for size, count in by_size.items())
    wide = sum(size * count for (size, is_wide), count in counts.items() if is_wide)
    return {size: count for size, count in sorted(by_size.items()) if count}, wide / whole if whole else 1.0


def instructions(cubin: bytes) -> int:
    """Instructions in the code sections of a 64-bit ELF file, its padding counted."""
    table, = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + i * size) for i in range(count)]
    start = sections[names][4]
    code: int = sum(one[5] for one in sections if cubin.startswith(b".text.", start + one[0]))
    return code // INSTRUCTION_BYTES
