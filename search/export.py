"""A candidate taken home: a folder with the flow, its Graph, its point, its report, and a manifest over them."""
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluator import sandbox
from evaluator.report import Row, Status
from search.candidate import Candidate, Entry
from search.manifest import AGAIN, Manifest, ancestors, figures, read_manifest, sha256, versions
from search.page import page
from vortex.compiler.identity.form import identity
from vortex.config import OperatingPoint, load_point
from vortex.errors import BundleError, ChildFailure, FlowError, GraphError, VortexError
from vortex.ir import Graph
from vortex.language.check import check
from vortex.language.parameters import Parameters, checked_name, files_of, with_data
from vortex.language.source_upstream import to_upstream

MANIFEST = "manifest.json"
UPSTREAM = "flow_upstream.py"         # the same flow in the public upstream's spelling, where that can say it
FILES = ("flow.py", "graph.json", "point.toml", "report.json", "report.html")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a bundle tells beside the candidate: `settings` are the resolved campaign's, `lineage` runs from the parent
    back to the first ancestor."""

    seed: int
    settings: Mapping[str, Any]
    environments: tuple[Mapping[str, Any], ...] = ()
    lineage: tuple[Candidate, ...] = ()
    dense: Entry | None = None


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was read and found whole. `rows` are those behind its figures, without their data."""

    path: Path
    manifest: Manifest
    source: str
    graph: Graph
    point: OperatingPoint
    rows: tuple[Row, ...]


def write_bundle(entry: Entry, provenance: Provenance, to: Path, force: bool = False) -> Path:
    """All of the folder appears at once, or nothing does. `force` replaces an earlier bundle, and nothing else.

    Raises BundleError: the candidate has no Graph or did not end ok, or the folder cannot be written.
    """
    candidate = entry.candidate
    graph_json = candidate.flow.graph_json
    if graph_json is None or candidate.status is not Status.OK:
        reason = "it has no Graph" if graph_json is None else f"its status is {candidate.status or 'open'}"
        raise BundleError(f"candidate {candidate.id} cannot be exported: {reason}",
                          hint="Export one that passed all stages: `vortex frontier` lists them.")
    _check_target(to, force)
    manifest = _manifest(entry, provenance)
    upstream, reason = _in_upstream(candidate)
    texts = {"flow.py": candidate.flow.source, "graph.json": graph_json, **upstream,
             "point.toml": _point_text(candidate.point), "report.json": _report_text(entry),
             "report.html": page(manifest, entry)}
    files = {**{name: text.encode() for name, text in texts.items()}, **_parameter_files(candidate)}
    sums = {name: sha256(content) for name, content in files.items()}
    sealed = manifest.model_copy(update={"files": sums, "no_upstream": reason}).sealed()
    try:
        _write({**files, MANIFEST: sealed.model_dump_json(indent=1).encode()}, to)
    except OSError as error:
        raise BundleError(f"cannot write {to}: {error.strerror}", hint="Give --to another folder.") from error
    return to


def read_bundle(path: Path, *, trusted: bool = False) -> Bundle:
    """Its texts are read in the sandbox; `trusted` ones, as files that a person names, on a machine without one too.

    Raises BundleError when a file lacks, was changed, or does not say what the manifest says, and SandboxUnavailable.
    """
    manifest = read_manifest(_decoded(path, MANIFEST, _read(path, MANIFEST)))
    told = (*FILES, UPSTREAM) if UPSTREAM in manifest.files else FILES
    texts = {name: _decoded(path, name, _unchanged(path, name, manifest)) for name in told}
    try:
        graph, point = _with_parameters(path, texts["graph.json"], manifest), load_point(path / "point.toml")
        check(graph)
    except BundleError:
        raise
    except VortexError as error:
        raise BundleError(f"{path} cannot be used by this version: {error.message}", hint=error.hint) from error
    if manifest.flow_hash not in (identity(graph), graph.hash) or point.hash != manifest.point_hash:
        raise BundleError(f"the Graph or point of {path} is not that of its manifest", hint=AGAIN)
    for name in sorted({"flow.py", UPSTREAM} & texts.keys()):
        _check_spelling(path / name, texts[name], graph, trusted)
    return Bundle(path=path, manifest=manifest, source=texts["flow.py"], graph=graph, point=point,
                  rows=tuple(Row(**row) for row in json.loads(texts["report.json"])["rows"]))


def _check_spelling(file: Path, text: str, graph: Graph, trusted: bool) -> None:
    """Raises BundleError where `text` is not the algorithm of `graph`."""
    try:
        same = identity(_read_again(text, file.name, graph, trusted=trusted)) == identity(graph)
    except (FlowError, GraphError, ChildFailure) as error:
        raise BundleError(f"{file} cannot be read as a flow: {error.message}", hint=AGAIN) from error
    if not same:
        raise BundleError(f"{file} is another algorithm than the Graph beside it, which was measured", hint=AGAIN)


def _in_upstream(candidate: Candidate) -> tuple[dict[str, str], str]:
    """The flow in the upstream's spelling, if it reads as the same algorithm there; and why there is none."""
    graph = candidate.flow.graph
    assert graph is not None, candidate.id
    try:
        text = to_upstream(graph, name=graph.name, doc=f"{candidate.name}. {candidate.hypothesis}".strip())
        same = identity(_read_again(text, UPSTREAM, graph, trusted=True)) == identity(graph)
    except (FlowError, GraphError, ChildFailure) as error:
        return {}, error.message
    return ({UPSTREAM: text}, "") if same else ({}, "the upstream's words would make another algorithm of it")


def _read_again(text: str, name: str, like: Graph, *, trusted: bool) -> Graph:
    """In the sandbox, as what our speller wrote is of what somebody else said; at the geometry and with the parameters of
    `like`. Raises FlowError, and what the sandbox raises."""
    return sandbox.read_flow(text, name, like.geometry, like.parameters, trusted=trusted)


def _parameter_files(candidate: Candidate) -> dict[str, bytes]:
    graph = candidate.flow.graph
    return {} if graph is None else files_of(graph.parameters)


def _with_parameters(path: Path, graph_json: str, manifest: Manifest) -> Graph:
    """The Graph, with its parameters from the files beside it. Raises VortexError."""
    graph, read = Graph.from_json(graph_json), Parameters(path)
    for name in sorted({checked_name(p.file, p.key)[0] for p in graph.parameters}):
        _unchanged(path, name, manifest)
    return with_data(graph, {p.digest: p.data for p in (read.find(p.file, p.key) for p in graph.parameters)})


def _manifest(entry: Entry, provenance: Provenance) -> Manifest:
    candidate = entry.candidate
    return Manifest(
        candidate=candidate.id, name=candidate.name, campaign=candidate.campaign, author=candidate.author,
        hypothesis=candidate.hypothesis, lineage=ancestors(provenance.lineage), created_at=candidate.created_at,
        flow_hash=candidate.flow.hash, point_hash=candidate.point.hash, seed=provenance.seed,
        settings=dict(provenance.settings), versions=versions(),
        environments=tuple(dict(one) for one in provenance.environments), metrics=figures(entry),
        dense=figures(provenance.dense) if provenance.dense else {}, files={})


def _point_text(point: OperatingPoint) -> str:
    """TOML: its strings, numbers and lists are written as in JSON; a setting without a value is left out."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
                   for name, value in point.model_dump(mode="json").items() if value is not None)


def _report_text(entry: Entry) -> str:
    results = [{**asdict(result), "status": result.status.value} for result in entry.report.results]
    rows = [{"stage": row.stage, "problem": row.problem, "repeat": row.repeat, "score": row.score, "exact": row.exact,
             "seconds": row.seconds} for row in entry.rows]
    return json.dumps({"results": results, "rows": rows}, indent=1)


def _check_target(to: Path, force: bool) -> None:
    if not to.exists():
        return
    if not to.is_dir():
        raise BundleError(f"{to} is a file", hint="Give --to a folder.")
    if any(to.iterdir()) and not (force and (to / MANIFEST).is_file()):
        hint = "Only an earlier bundle is replaced." if force else "Give --to another folder, or --force for a bundle."
        raise BundleError(f"the folder {to} is not empty", hint=hint)


def _write(files: Mapping[str, bytes], to: Path) -> None:
    to = to.absolute()
    to.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        new, old = room / "new", room / "old"
        new.mkdir()
        for name, content in files.items():
            with (new / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if to.exists():
            to.rename(old)
        new.rename(to)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise _no_bundle(path, name) from error


def _decoded(path: Path, name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _no_bundle(path, name) from error


def _no_bundle(path: Path, name: str) -> BundleError:
    return BundleError(f"{path} is no bundle: {name} cannot be read", hint="`vortex export` writes one.")


def _unchanged(path: Path, name: str, manifest: Manifest) -> bytes:
    content = _read(path, name)
    if manifest.files.get(name) != sha256(content):
        raise BundleError(f"{path / name} was changed after the export", hint=AGAIN)
    return content
