"""A submission in the upstream's form (a JSON object beside a flow file): its checker's rules, and the point it means."""
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vortex.budget import check_budget
from vortex.compiler.front import load, load_usual
from vortex.config import PREFIX, WITHOUT_MEANING, OperatingPoint, VortexConfig
from vortex.errors import EngineConfigError, FlowError, ModelError, PointError, Where
from vortex.ir import Geometry, Graph

# The geometry of a model at a block size; None: it is not to be had here. Raises ModelError.
GeometryOf = Callable[[str, int], Geometry | None]
GROUPS, HEAD_DIMS, LATENT_GROUPS = (1, 2, 4, 5, 8, 16), (64, 128), (16, 20)
# What the upstream's engine takes where the JSON says nothing.
DEFAULTS: Mapping[str, Any] = {"vortex_topk_val": 29, "vortex_topk_ratio": 0.0, "vortex_layers_skip": [0],
                               "model_path": "Qwen/Qwen3-1.7B"}
WITH_MEANING = {f"{PREFIX}{name}" for name in VortexConfig.model_fields if name not in WITHOUT_MEANING} | {
    "model_path", "page_size", "disable_radix_cache"}


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The flow `name` in `text` (from `path`), at `point`; the keys of the JSON that change nothing here."""

    text: str = field(repr=False)
    path: str
    name: str
    point: OperatingPoint
    without_meaning: tuple[str, ...]
    graph: Graph = field(repr=False)       # for the model's geometry, or the usual one


def check_engine_config(path: str | Path, geometry_of: GeometryOf | None = None) -> dict[str, Any]:
    """The JSON object at `path`, if it may be submitted. Raises EngineConfigError at the first rule that it breaks.

    The flow is traced for the geometry of the model where `geometry_of` gives one, else for several usual ones.
    """
    return _checked(Path(path), geometry_of)[0]


def load_submission(path: str | Path, geometry_of: GeometryOf | None = None) -> Submission:
    """What check_engine_config lets pass, as a flow and its point; the upstream's defaults hold for keys left out."""
    return _checked(Path(path), geometry_of)[1]


def _checked(path: Path, geometry_of: GeometryOf | None) -> tuple[dict[str, Any], Submission]:
    config = _Json.read(path)
    for key in ("block_size", "workload_chunk_size"):
        value = config.whole(f"{PREFIX}{key}")
        if value < 1 or value & (value - 1):
            raise config.wrong(f"{PREFIX}{key}", f"must be a positive power of 2, not {value}")
    for key in ("block_reserved_bos", "block_reserved_eos"):
        if (value := config.whole(f"{PREFIX}{key}")) < 1:
            raise config.wrong(f"{PREFIX}{key}", f"must be 1 or more, not {value}")
    skip = config.get("vortex_layers_skip")
    if skip is not None and not (isinstance(skip, list) and all(isinstance(x, int) and not isinstance(x, bool) for x in skip)):
        raise config.wrong("vortex_layers_skip", "must be null or a list of whole numbers")
    flow_path, name = config.module()
    point, without_meaning = config.point()
    text = flow_path.read_text()
    graph = _built(config, text, flow_path, name, point, geometry_of)
    if graph.states and config.get("disable_radix_cache") is not True:
        kept = ", ".join(field.name for field in graph.states)
        raise config.wrong("disable_radix_cache", f"must be true: the flow saves state ({kept})",
                           "Blocks that hold a request's state are not shared with other requests.")
    return config.body, Submission(text=text, path=str(flow_path), name=name, point=point,
                                   without_meaning=without_meaning, graph=graph)


def _built(config: "_Json", text: str, path: Path, name: str, point: OperatingPoint, geometry_of: GeometryOf | None) -> Graph:
    """The Graph for the model, or the first of several for usual geometries, of which none may be refused."""
    try:
        known = geometry_of(point.model, point.block_size) if geometry_of else None
    except ModelError as error:
        raise EngineConfigError(f"failed to fetch config.json from HuggingFace repo {point.model!r}: {error.message}",
                                hint=error.hint, where=config.where("model_path")) from error
    if known is not None:
        return _traced(config, name, known, lambda: load(text, str(path), known, name))
    first = _traced(config, name, None, lambda: load_usual(text, str(path), name, point.block_size))
    usual = [Geometry.of_latent(point.block_size, group=group) for group in LATENT_GROUPS] if first.geometry.latent else \
        [Geometry(point.block_size, head_dim, group) for group in GROUPS for head_dim in HEAD_DIMS]
    for geometry in () if first.parameters else usual:         # parameters fit one model
        _traced(config, name, geometry, partial(load, text, str(path), geometry, name))
    return first


def _traced(config: "_Json", name: str, geometry: Geometry | None, trace: Callable[[], Graph]) -> Graph:
    try:
        return trace()
    except FlowError as error:
        sizes = geometry and f" for block_size {geometry.block_size}, head_dim {geometry.head_dim}, group {geometry.group}"
        raise EngineConfigError(f"failed to build vFlow {name!r}{sizes or ''}: {error.code}: {error.message}", hint=error.hint,
                                where=error.where if error.where.line else config.where("vortex_module_name"),
                                fix=error.fix) from error


@dataclass(frozen=True)
class _Json:
    """The object of a submission file, and where its keys stand."""

    path: Path
    text: str
    body: dict[str, Any]

    @staticmethod
    def read(path: Path) -> "_Json":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or error
            raise EngineConfigError(f"cannot read {path}: {problem}", hint="Give the path of a submission's JSON.") from None
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 0)
            raise EngineConfigError(f"not valid JSON: {error}", hint="A submission is one JSON object.",
                                    where=_where(path, text, line)) from None
        if not isinstance(body, dict):
            raise EngineConfigError("the top level is not an object", hint="A submission is one JSON object.",
                                    where=Where(str(path)))
        return _Json(path, text, body)

    def get(self, key: str) -> Any:
        return self.body.get(key)

    def where(self, key: str) -> Where:
        lines = self.text.splitlines()
        line = next((at for at, text in enumerate(lines, 1) if f'"{key}"' in text), 0)
        return _where(self.path, self.text, line)

    def wrong(self, key: str, problem: str, hint: str = "") -> EngineConfigError:
        return EngineConfigError(f"{key} {problem}", hint=hint or f"Set {key} in {self.path.name}.", where=self.where(key))

    def whole(self, key: str) -> int:
        """A whole number, also one written as 2.0."""
        value = self.get(key)
        if key not in self.body:
            raise self.wrong(key, "is missing")
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value % 1:
            raise self.wrong(key, f"must be a whole number, not {json.dumps(value)[:60]}")
        return int(value)

    def module(self) -> tuple[Path, str]:
        """The flow's file and the name that it registers."""
        given, name = self.get("vortex_module_path"), self.get("vortex_module_name")
        if not isinstance(given, str) or not given.strip():
            raise self.wrong("vortex_module_path", "must be a path")
        places = [Path(given), self.path.parent / given]         # an absolute path is both
        found = next((place for place in places if _is_file(place)), None)
        if found is None:
            raise self.wrong("vortex_module_path", f"{given!r} not found",
                             "It is absolute, or starts at the working directory or at the folder of the JSON.")
        if not isinstance(name, str) or not name:
            raise self.wrong("vortex_module_name", "must be the name that the flow registers")
        try:
            text = found.read_text()
        except (OSError, ValueError) as error:
            raise self.wrong("vortex_module_path", f"{given!r} cannot be read: {error}") from None
        if not re.search(rf"""@register\(\s*(["']){re.escape(name)}\1""", text):
            raise self.wrong("vortex_module_name", f'{name!r}: {given} does not contain @register("{name}")',
                             "The name stands in quotes over the class.")
        return found, name

    def point(self) -> tuple[OperatingPoint, tuple[str, ...]]:
        """The point, and the keys that change nothing here."""
        body = {**DEFAULTS, **{key: value for key, value in self.body.items() if value is not None}}
        more = {"page_size": body["page_size"]} if "page_size" in body else {}
        try:
            config = VortexConfig.from_flat({key: value for key, value in body.items() if key.startswith(PREFIX)})
            point = check_budget(config.point(model=body["model_path"], **more))
        except PointError as error:
            key = next((key for key in sorted(self.body, key=len, reverse=True) if key.removeprefix(PREFIX) in error.message), "")
            raise EngineConfigError(error.message, hint=error.hint, where=self.where(key)) from error
        return point, tuple(key for key in self.body if key not in WITH_MEANING)


def _where(path: Path, text: str, line: int) -> Where:
    lines = text.splitlines()
    return Where(str(path), line, lines[line - 1] if 0 < line <= len(lines) else "")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
