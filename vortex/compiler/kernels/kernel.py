"""What a kernel is before it is built: text, an entry, and the types that it is compiled for."""
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

Constant: TypeAlias = "int | float | bool | str | None"
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One launch. `source` is the text of a Python module whose function `entry` carries @triton.jit.

    `signature` names the run-time arguments in order, with Triton's names of their types ("*bf16", "i32", "fp32", ...);
    `constants` the compile-time ones; `aligned` those that production keeps divisible by 16 (pointers and strides).
    """

    name: str                                                     # for people: quest.score
    source: str
    entry: str
    signature: Mapping[str, str]
    constants: Mapping[str, Constant] = field(default_factory=dict)
    aligned: tuple[str, ...] = ()
    warps: int = 4
    stages: int = 3
    contraction: bool = True                                      # may a product and a sum become one rounding?
    covers: tuple[str, ...] = ()                                  # what was fused into it, for the report
    note: str = ""                                                # why it stands alone, where it does
    bytes_moved: int = 0                                          # per decode step of the usual shape; 0: not told

    @property
    def digest(self) -> str:
        """32 hex digits of all that the machine code depends on, but for the chip and Triton's version."""
        parts = (self.source, self.entry, tuple(self.signature.items()), tuple(sorted(self.constants.items())), self.aligned,
                 self.warps, self.stages, self.contraction, library_digest())
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@cache
def library_digest() -> str:
    """Of the files that kernel texts import."""
    texts = [path.read_bytes() for path in sorted(HERE.glob("*.py"))]
    return hashlib.blake2b(b"\0".join(texts), digest_size=16).hexdigest()
