"""The forms in which a flow and its operating point are given to a server, and the one form that they are brought to.

Beside our own these are the upstream's: its VortexConfig as JSON, and its flat names vortex_* with enable_vortex_sparsity.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vortex import flows
from vortex.config import PREFIX, VortexConfig, load_point, normalize_vortex_config
from vortex.errors import EngineError, PointError

FORMS = ('a built-in flow\'s name, or JSON: {"flow": NAME or FILE, "point": {...}}, {"graph": {...}, "point": {...}}, or the '
         "entries of a VortexConfig")
OWN = ("graph", "flow", "named", "module", "point", "folder", "reserve")
SWITCH = "enable_vortex_sparsity"


def entries(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Entries of Settings; None for the upstream's form with sparsity switched off. Raises EngineError, PointError,
    FlowNotFound."""
    if _of_upstream(body):
        return from_config(body) if body.get(SWITCH, True) else None
    told = dict(body)
    if isinstance(told.get("point"), str):
        told["point"] = load_point(Path(told["point"])).model_dump(exclude_unset=True)
    flow = told.pop("flow", None)
    if flow is not None:
        if told.get("graph") is not None:
            raise EngineError("a flow is given twice, by name and as a graph", hint="Leave one of the two out.")
        told |= {"named": flow, "point": {"model": "", "engine": "sglang", **_asked_by(str(flow)), **_plain(told.get("point"))}}
    return told


def from_config(config: VortexConfig | Mapping[str, Any] | str) -> dict[str, Any]:
    """Entries of Settings for the upstream's config, its JSON, or its entries with or without prefix. Raises PointError."""
    found = normalize_vortex_config(config)
    if found.module_path is None and found.module_name is None:
        raise PointError("the config names no flow",
                         hint="module_path is its file, module_name the name that it registers or that of a built-in.")
    return {"named": found.module_path or found.module_name, "module": found.module_name if found.module_path else None,
            "point": found.point("", engine="sglang").model_dump()}


def _of_upstream(body: Mapping[str, Any]) -> bool:
    return not any(name in OWN for name in body) and any(
        name == SWITCH or name.startswith(PREFIX) or name in VortexConfig.model_fields for name in body)


def _asked_by(flow: str) -> dict[str, Any]:
    """What a built-in flow asks of the point by itself."""
    return flows.settings(flows.read(flow)[2])


def _plain(point: object) -> dict[str, Any]:
    if point is None:
        return {}
    if isinstance(point, Mapping):
        return dict(point)
    raise EngineError("the point is no JSON object", hint=FORMS)
