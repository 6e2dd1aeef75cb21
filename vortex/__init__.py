"""Sparse attention as small programs: say it (language), compile it (compiler), serve it (serving)."""
import importlib
from typing import TYPE_CHECKING, Any

from vortex.language import ops
from vortex.language.flow import register, vFlow, vFlowMLA

if TYPE_CHECKING:
    from vortex.api import load_flow
    from vortex.config import OperatingPoint, VortexConfig
    from vortex.step import attend, decode_step, select_blocks

# What flows do not need is imported when it is asked for: `import vortex` loads no torch.
_HOMES = {"load_flow": "vortex.api", "OperatingPoint": "vortex.config", "VortexConfig": "vortex.config",
          "attend": "vortex.step", "decode_step": "vortex.step", "select_blocks": "vortex.step"}
__all__ = ["OperatingPoint", "VortexConfig", "attend", "decode_step", "load_flow", "ops", "register", "select_blocks", "vFlow",
           "vFlowMLA"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vortex' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
