"""What a flow's kernels are on a chip: registers, spills, shared memory, loads, time; and what is wrong with which."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vortex.compiler.chips import CHIPS, Chip
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import CODES, Built
from vortex.config import Target
from vortex.errors import CompileError

CHIP_OF: Mapping[Target, Chip] = {"sm_80": CHIPS["a100"], "sm_90": CHIPS["h200"], "sm_100": CHIPS["b200"]}
HINTS = {
    "error": "Write these ops another way, or name another target.",
    "timeout": "The compiler does not come to an end: order or unroll less at once, or make the values smaller.",
    "shared-memory": "Make what it holds at once smaller: a smaller block_size, fewer channels or query heads, or reduce before "
                     "products.",
    "spills": "Make the values of one block smaller: reduce over tokens or query heads before combining, or keep a smaller "
              "summary.",
}
ATTENTION = "attention."
NOT_THE_FLOW = ("This kernel attends to what a flow selects, and no flow changes it: name fewer channels or query heads, or "
                "another target.")


def hint(code: str, kernel: str) -> str:
    """What to do about a fault of the kernel of this name."""
    return NOT_THE_FLOW if kernel.startswith(ATTENTION) else HINTS[code]


@dataclass(frozen=True, kw_only=True)
class KernelReport:
    """One kernel as it was built."""

    kernel: Kernel
    built: Built

    @property
    def time_us(self) -> float | None:
        """Its bytes of a usual step over the bandwidth of the target's chip; None where they are not told."""
        return self.kernel.bytes_moved / CHIP_OF[self.built.target].bandwidth * 1e6 or None

    @property
    def code(self) -> str:
        return self.built.code

    @property
    def fault(self) -> str:
        """What is wrong in a sentence or two; empty for a good one."""
        built, name = self.built, f"kernel {self.kernel.name}"
        if self.kernel.covers:
            name += f" ({', '.join(self.kernel.covers)})"
        return {
            "": "",
            "error": f"{name} cannot be built for {built.target}: {built.message}",
            "timeout": f"{name} is not built for {built.target} within {built.seconds:g} s",
            "shared-memory": f"{name} wants {built.shared:,} bytes of shared memory, and {built.target} gives a block of threads "
                             f"{built.shared_limit:,}",
            "spills": f"{name} does not fit into the registers of {built.target}: a thread keeps {built.spill_stores:,} bytes in "
                      "memory",
        }[self.code]

    def to_json(self) -> dict[str, Any]:
        built = self.built
        return {"name": self.kernel.name, "code": self.code, "registers": built.registers, "spills": built.spills,
                "shared": built.shared, "shared_limit": built.shared_limit, "stack": built.stack,
                "instructions": built.instructions, "vectorised": round(built.vectorised, 3),
                "loads": {str(size): count for size, count in built.loads.items()}, "warps": self.kernel.warps,
                "time_us": self.time_us, "build_s": built.seconds, "covers": list(self.kernel.covers), "note": self.kernel.note,
                "message": self.fault}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All kernels of a flow on one chip."""

    target: Target
    kernels: tuple[KernelReport, ...]

    @property
    def code(self) -> str:
        """The gravest of the kernels' codes; "" where all is well."""
        return min((one.code for one in self.kernels if one.code), key=CODES.index, default="")

    @property
    def refusal(self) -> CompileError | None:
        """The gravest fault, as what to do about it."""
        worst = next((one for one in self.kernels if one.code and one.code == self.code), None)
        if worst is None:
            return None
        covers = worst.kernel.covers
        return CompileError(worst.fault, hint=hint(worst.code, worst.kernel.name), op=covers[0] if len(covers) == 1 else "")

    def to_json(self) -> dict[str, Any]:
        return {"target": self.target, "chip": CHIP_OF[self.target].name, "ok": not self.code, "code": self.code,
                "kernels": [one.to_json() for one in self.kernels]}
