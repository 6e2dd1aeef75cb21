"""`vortex check FILES`: what flows and submissions are, or what is wrong with them, without running anything."""
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import Json
from agent.cli.text import columns, to_json
from vortex import flows
from vortex.compiler.bits import field_bytes
from vortex.compiler.front import latent_of, load, load_usual
from vortex.compiler.identity.form import identity
from vortex.compiler.submission import Submission, load_submission
from vortex.config import OperatingPoint
from vortex.errors import FlowNotFound, VortexError
from vortex.ir import Geometry, Graph

Files = Annotated[list[str], typer.Argument(metavar="FILES", help="Flows (files, built-in names), submissions (.json), folders.")]


def command(
    files: Files,
    name: Annotated[str | None, typer.Option(help="Which of the flows that a file registers; without it the last.")] = None,
    model: Annotated[str | None, typer.Option(help="Take head_dim and group from this model.")] = None,
    block_size: Annotated[int | None, typer.Option(min=1, max=1024, help="Tokens a block, usually 16.")] = None,
    head_dim: Annotated[int | None, typer.Option(min=1, max=1024, help="Channels a head, usually 128.")] = None,
    group: Annotated[int | None, typer.Option(min=1, max=256, help="Query heads a kv head, usually 4.")] = None,
    json: Json = False,
) -> None:
    """Check flows and submissions: loads, traces and checks them for a geometry. Exit code 2 when one is not legal."""
    geometry = _asked(block_size, head_dim, group) if model is None else _geometry(model, block_size or 16)
    latent = latent_of(block_size or 16, head_dim, group) if model is None else None
    how = _How(name=name, model=model, geometry=geometry, latent=latent, block_size=block_size)
    if len(files) == 1 and not Path(files[0]).is_dir():
        told = _checked(files[0], how, alone=True)
        print(to_json(told.body) if json else told.text + ("" if told.body["ok"] else "\n1 error. Nothing was compiled."))
        raise typer.Exit(0 if told.body["ok"] else 2)
    found = [_checked(file, how) for file in _expanded(files)]
    refused = sum(not one.body["ok"] for one in found)
    if json:
        print(to_json({"ok": not refused, "checked": len(found), "refused": refused,
                       "flows": [{"path": one.path, **one.body} for one in found]}))
    else:
        print("\n".join(one.line for one in found))
        print(f"{len(found)} checked, {refused} refused.")
    raise typer.Exit(2 if refused or not found else 0)


@dataclass(frozen=True, kw_only=True)
class _How:
    """What was asked for; no geometry: the usual one. `latent`: that of a latent flow, where it was asked for in sizes."""

    name: str | None
    model: str | None
    geometry: Geometry | None
    latent: Geometry | None
    block_size: int | None


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What is said of one file: at length, in a line, and as JSON."""

    path: str
    body: dict[str, Any]
    text: str
    line: str


def _expanded(files: list[str]) -> Iterator[str]:
    """Files as they are; of folders the flows and submissions in them."""
    for file in files:
        if not Path(file).is_dir():
            yield file
            continue
        yield from (str(path) for path in sorted(Path(file).iterdir()) if _is_checked(path))


def _is_checked(path: Path) -> bool:
    if path.suffix == ".json":
        return '"vortex_module_path"' in path.read_text(errors="replace")
    return path.suffix == ".py" and not path.name.startswith("_")


def _asked(block_size: int | None, head_dim: int | None, group: int | None) -> Geometry | None:
    usual = Geometry()
    asked = Geometry(block_size or usual.block_size, head_dim or usual.head_dim, group or usual.group)
    return asked if head_dim or group else None


def _checked(file: str, how: _How, alone: bool = False) -> _Told:
    """A file that is not there is an error of the command where it was asked for `alone`."""
    try:
        if file.endswith(".json"):
            submission = load_submission(file, _at(how.model) if how.model else _of_a_model_here)
            return _told(file, submission.graph, submission)
        _, text, path = flows.read(file)
        found = load(text, path, how.geometry, how.name, latent=how.latent) if how.geometry else \
            load_usual(text, path, how.name, how.block_size)
        return _told(file, found)
    except VortexError as error:
        if alone and isinstance(error, FlowNotFound) and not error.where.path:
            raise
        body = {"ok": False, "name": Path(file).stem, "hash": None, "fields": [], "ops": {}, "index_bytes_per_block": None,
                "errors": [dict(error.to_json())]}
        return _Told(path=file, body=body, text=error.report(), line=error.report())


def _geometry(model: str, block_size: int) -> Geometry:
    from vortex.serving.checkpoint import find_checkpoint  # a second of imports that other checks do without

    return find_checkpoint(model).shape.geometry(block_size)


def _at(model: str) -> Callable[[str, int], Geometry]:
    return lambda _, block_size: _geometry(model, block_size)


def _of_a_model_here(model: str, block_size: int) -> Geometry | None:
    """A check asks no network: a model that does not lie in a folder is unknown to it."""
    return _geometry(model, block_size) if Path(model).expanduser().is_dir() else None


def _told(file: str, graph: Graph, submission: Submission | None = None) -> _Told:
    point = submission.point if submission else OperatingPoint()
    ops = Counter(node.op for node in (*graph.cache, *graph.indexer))
    body = {
        "ok": True, "name": graph.name, "hash": identity(graph), "geometry": asdict(graph.geometry),
        "fields": [{"name": f.name, "rows": f.rows, "cols": f.cols, "kind": str(f.kind)} for f in graph.fields],
        "ops": dict(sorted(ops.items())), "index_bytes_per_block": field_bytes(graph, point), "errors": [],
    }
    if submission:
        body |= {"point": point.model_dump(mode="json"), "without_meaning": list(submission.without_meaning)}
    return _Told(path=file, body=body, text=columns([*_rows(body, point), *_point_rows(submission)]),
                 line=f"ok  {file}  {graph.name}  {body['hash']}")


def _rows(told: dict[str, Any], point: OperatingPoint) -> list[tuple[str, str]]:
    fields = ", ".join(f'{f["name"]} [{f["rows"]}, {f["cols"]}]' for f in told["fields"]) or "none"
    sizes, dtype = told["geometry"], "fp32" if point.dtype == "float32" else point.dtype
    latent = f' (latent, kv_lora_rank {sizes["kv_lora_rank"]})' if sizes["kv_lora_rank"] else ""
    return [("ok", f'{told["name"]}  {told["hash"]}'),
            ("for", f'block size {sizes["block_size"]}, head dim {sizes["head_dim"]}{latent}, group {sizes["group"]}'),
            ("fields", f'{fields}  ({told["index_bytes_per_block"]:,} bytes a block and kv head in {dtype})'),
            ("ops", ", ".join(f"{op} x{n}" if n > 1 else op for op, n in told["ops"].items()))]


def _point_rows(submission: Submission | None) -> list[tuple[str, str]]:
    """The settings of the point that are not defaults, and what changes nothing here."""
    if submission is None:
        return []
    default = OperatingPoint().model_dump()
    point = {name: value for name, value in submission.point.model_dump().items() if value != default[name]}
    return [("point", ", ".join(f"{name} {value}" for name, value in point.items())),
            ("ignored", ", ".join(submission.without_meaning) or "nothing")]
