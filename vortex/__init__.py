"""Sparse attention as small programs: say it (language), compile it (compiler), serve it (serving)."""
from vortex.language import ops
from vortex.language.flow import register, vFlow, vFlowMLA

__all__ = ["ops", "register", "vFlow", "vFlowMLA"]
