"""`vortex doctor`: what is installed and usable here, and whether a model is served."""
import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from agent.environment import processor
from evaluator.cluster.devices import devices
from evaluator.sandbox import standing
from vortex.errors import ModelError, VortexError
from vortex.serving.sglang.python import find_python

GB = 1e9
PARTS = (
    ("flows and checks", (), ""),
    ("CPU programs", ("torch",), "compile"),
    ("embedded engine", ("torch", "transformers", "safetensors"), "eval"),
    ("campaigns", ("torch", "transformers", "ray", "sqlalchemy", "scipy", "moocore"), "eval"),
    ("maths and data sets", ("datasets", "math_verify"), "tasks"),
    ("Triton kernels", ("triton",), "compile"),
)


def command(
    model: Annotated[str | None, typer.Option(help="A shipped name, a folder or a Hugging Face id: is it served?")] = None,
    json: Json = False,
) -> None:
    """What is installed and usable here. With --model, exit code 2 when that model is not served, and why."""
    parts = {name: _part(needs, extra) for name, needs, extra in PARTS}
    told: dict[str, Any] = {"machine": _machine(), "devices": [asdict(device) for device in devices()],
                            "sandbox": {**standing().to_json(), "text": standing().text},
                            "parts": {**parts, "sglang engine": _sglang()}}
    refusal = None
    if model is not None:
        try:
            told["model"] = _model(model)
        except VortexError as error:
            refusal, told["model"] = error, {"name": model, "served": False, **error.to_json()}
    print(to_json(told) if json else _text(told, refusal))
    if refusal is not None:
        raise typer.Exit(refusal.exit_code)


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    return {"python": platform.python_version(), "processor": f"{processor()}, {os.cpu_count()} cores",
            "memory": f"{memory:.1f} GB", "disk": f"{shutil.disk_usage(Path.cwd()).free / GB:.1f} GB free here",
            "gpu": _gpu()}


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "not known without torch"
    import torch  # two seconds of imports that other commands do without

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is used"


def _part(needs: tuple[str, ...], extra: str) -> dict[str, Any]:
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    return {"usable": not missing, "missing": missing,
            "install": f'pip install "vortex-platform[{extra}]"' if missing else ""}


def _sglang() -> dict[str, Any]:
    """It may live in another Python than this one."""
    try:
        found = find_python()
    except VortexError as error:
        return {"usable": False, "missing": ["sglang"], "install": error.hint, "why": error.message}
    return {"usable": True, "missing": [], "install": "", "version": found.version, "python": found.path}


def _model(name: str) -> dict[str, Any]:
    if importlib.util.find_spec("transformers") is None:
        raise ModelError("a model's config is read with transformers, which is not installed",
                         hint='pip install "vortex-platform[eval]"')
    from vortex.serving.checkpoint import find_checkpoint  # as above

    found, engines = find_checkpoint(name, "sglang"), ["sglang"]
    with suppress(ModelError):
        find_checkpoint(name, "embedded")
        engines.insert(0, "embedded")
    return {"name": name, "served": True, "engines": engines, "path": found.path, **asdict(found.shape)}


def _standing(part: Mapping[str, Any]) -> str:
    if part["usable"]:
        return f"usable: SGLang {part['version']} of {part['python']}" if "version" in part else "usable"
    return f"{part['why'] if 'why' in part else 'lacks ' + ', '.join(part['missing'])}: {part['install']}"


def _device(device: Mapping[str, Any]) -> str:
    each = " each" if device["count"] > 1 and device["kind"] == "gpu" else ""
    used = f", {device['used_bytes'] / GB:.1f} GB in use" if device["used_bytes"] else ""
    return f"{device['count']} x {device['name']}, {device['memory_bytes'] / GB:.1f} GB{each}{used}"


def _text(told: dict[str, Any], refusal: VortexError | None) -> str:
    rows = list(told["machine"].items())
    rows += [("devices" if i == 0 else "", _device(device)) for i, device in enumerate(told["devices"])]
    rows.append(("sandbox", told["sandbox"]["text"]))
    rows += [(name, _standing(part)) for name, part in told["parts"].items()]
    if refusal is None and "model" in told:
        model = told["model"]
        by = " and ".join(model["engines"])
        rows.append(("model", f"{model['name']} is served by {by}: {model['layers']} layers, {model['kv_heads']} kv heads of "
                              f"{model['group']} query heads, head dim {model['head_dim']}, {model['max_tokens']:,} tokens"))
    lines = columns(rows)
    return lines if refusal is None else f"{lines}\n{told['model']['name']} is not served:\n{refusal.report()}"
