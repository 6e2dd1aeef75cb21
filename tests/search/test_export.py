"""Bundles: what is written comes back, what was changed is refused, and a new measurement is held against it."""
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.report import Status
from evaluator.sandbox import Standing
from search.candidate import Entry, flow_record
from search.compare import as_good_as
from search.export import FILES, MANIFEST, UPSTREAM, Bundle, Provenance, read_bundle, write_bundle
from search.manifest import Manifest, sha256
from tests.search.made import WEIGHED, dense, entry, graph, parameter, weighed
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import BundleError, SandboxUnavailable
from vortex.language.parameters import files_of

SOURCE = flows.read("centroid")[1] + "# <b>bold</b> & \"quoted\"\r\n"
POINT = OperatingPoint(topk_ratio=0.1, layers_skip=(0, 2), model='a "model"')


def exported(accuracy: float = 0.9, speed: float = 2.0) -> Entry:
    made = entry(23, accuracy, speed)
    candidate = replace(made.candidate, flow=flow_record("centroid", SOURCE, graph()), point=POINT, hypothesis="x < y")
    return replace(made, candidate=candidate)


PROVENANCE = Provenance(seed=7, settings={"stage": [{"name": "retrieval", "seed": 20000, "share": 0.1}]},
                        environments=({"cpu": "x", "cores": 2},), lineage=(entry(4).candidate,), dense=dense())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(exported(), PROVENANCE, tmp_path / "deep" / "taken home")


def test_a_bundle_comes_back_as_it_was_written(folder: Path) -> None:
    bundle, entry = read_bundle(folder), exported()
    assert {path.name for path in folder.iterdir()} == {*FILES, UPSTREAM, MANIFEST}
    assert (bundle.source, bundle.graph.hash, bundle.point) == (SOURCE, graph().hash, POINT)
    assert [(r.stage, r.problem, r.repeat, r.score) for r in bundle.rows] == [
        (r.stage, r.problem, r.repeat, r.score) for r in entry.rows]
    told = bundle.manifest
    assert (told.candidate, told.campaign, told.seed, told.hypothesis) == (23, "made", 7, "x < y")
    assert told.settings == PROVENANCE.settings and told.environments == PROVENANCE.environments
    assert told.metrics["speed"] == entry.report.results[1].metrics["speed"]
    assert told.metrics["accuracy"].value == 0.9 and told.dense["accuracy"].value == 0.95
    assert [one.id for one in told.lineage] == [4]
    assert told.versions["python"] and told.versions["torch"]


def test_a_flow_with_parameters_takes_their_files_along_and_loads_by_itself(tmp_path: Path) -> None:
    made = exported()
    candidate = replace(made.candidate, flow=flow_record("weighed", WEIGHED, weighed()))
    to = write_bundle(replace(made, candidate=candidate), PROVENANCE, tmp_path / "out")
    assert {path.name for path in to.iterdir()} == {*FILES, MANIFEST, "w.safetensors"}
    bundle = read_bundle(to)
    assert bundle.manifest.no_upstream == "the upstream has no word for a parameter file"
    assert [p.data for p in bundle.graph.parameters] == [parameter().data]
    again = load((to / "flow.py").read_text(), str(to / "flow.py"), bundle.graph.geometry)
    assert (again.hash, again.parameters) == (bundle.graph.hash, bundle.graph.parameters)
    assert parameter().data not in (to / "graph.json").read_bytes() and len((to / "graph.json").read_text()) < 4000


@pytest.mark.parametrize(("change", "match"), [
    (lambda path: path.unlink(), "w.safetensors cannot be read"),
    (lambda path: path.write_bytes(b"x"), "w.safetensors was changed after the export"),
    (lambda path: path.write_bytes(files_of((parameter(2.0),))["w.safetensors"]), "was changed after the export"),
    (lambda path: reseal(path, {"w.safetensors": files_of((parameter(2.0),))["w.safetensors"]}), "are not there"),
    (lambda path: reseal(path, {"graph.json": (path.parent / "graph.json").read_bytes().replace(
        b'"w.safetensors"', b'"../../w.safetensors"')}), "is not the plain name"),
    (lambda path: reseal(path, {"graph.json": (path.parent / "graph.json").read_bytes().replace(
        b'"matmul"', b'"natmul"')}), "there is no op"),
], ids=range(6))
def test_parameters_that_are_not_those_of_the_manifest_are_refused(tmp_path: Path, change: Callable[[Path], object],
                                                                   match: str) -> None:
    made = exported()
    candidate = replace(made.candidate, flow=flow_record("weighed", WEIGHED, weighed()))
    to = write_bundle(replace(made, candidate=candidate), PROVENANCE, tmp_path / "out")
    change(to / "w.safetensors")
    with pytest.raises(BundleError, match=match):
        read_bundle(to)


def reseal(path: Path, files: dict[str, bytes]) -> None:
    """Someone who changes a bundle may well write its sums anew."""
    told = Manifest.model_validate_json((path.parent / MANIFEST).read_text())
    for name, content in files.items():
        (path.parent / name).write_bytes(content)
    sums = {**told.files, **{name: sha256(content) for name, content in files.items()}}
    (path.parent / MANIFEST).write_text(told.model_copy(update={"files": sums}).sealed().model_dump_json())


def test_the_upstream_is_given_the_same_algorithm_in_its_own_words(folder: Path) -> None:
    text = (folder / UPSTREAM).read_text()
    assert "from vortex_torch.indexer import" in text
    assert load(text, "flow.py", graph().geometry).hash == graph().hash
    assert read_bundle(folder).manifest.no_upstream == ""


def test_the_upstreams_words_are_read_again_in_the_sandbox_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*args: object) -> None:
        raise AssertionError(f"a text was read in place: {args}")

    made = exported()
    monkeypatch.setattr("vortex.compiler.front.load_flow", read)
    assert (write_bundle(made, PROVENANCE, tmp_path / "out") / UPSTREAM).is_file()


def test_words_that_cannot_be_read_again_are_left_out_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.sandbox.reading.READ_WALL_S", 1e-3)
    to = write_bundle(exported(), PROVENANCE, tmp_path / "out")
    monkeypatch.undo()
    assert not (to / UPSTREAM).exists() and "load_flow" in read_bundle(to).manifest.no_upstream


@pytest.mark.parametrize(("name", "text", "match"), [
    ("flow.py", flows.read("recent")[1], "is another algorithm than the Graph"),
    ("flow.py", "import os\n", "cannot be read as a flow"),
    (UPSTREAM, flows.read("quest")[1], "is another algorithm than the Graph"),
])
def test_a_text_that_is_not_the_graph_s_is_refused(folder: Path, name: str, text: str, match: str) -> None:
    reseal(folder / name, {name: text.encode()})
    with pytest.raises(BundleError, match=match) as refusal:
        read_bundle(folder)
    assert name in refusal.value.message


def test_a_text_of_others_is_read_where_a_sandbox_is_and_elsewhere_for_those_who_serve_it(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.sandbox.choice.standing", lambda: Standing(None, ("none here",)))
    with pytest.raises(SandboxUnavailable):
        read_bundle(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_bundle(folder, trusted=True).source == SOURCE


def test_every_setting_of_a_point_comes_back(tmp_path: Path) -> None:
    point = OperatingPoint(schedule_policy="return\t\"π\" < 1 ? 2 : 3;\n", topk_layers=(8, (4, 2)), page_size=32, max_topk_val=64)
    made = exported()
    to = write_bundle(replace(made, candidate=replace(made.candidate, point=point)), PROVENANCE, tmp_path / "out")
    assert read_bundle(to).point == point


def test_the_page_shows_source_and_hypothesis_as_text(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "accuracy_on_this_set" in page and "speed_of_other_runs" in page
    assert "x &lt; y" in page and "&lt;b&gt;bold" in page and "<b>bold" not in page


@pytest.mark.parametrize("name", [*FILES, UPSTREAM, MANIFEST])
@pytest.mark.parametrize("change", [lambda path: path.write_text(path.read_text() + " "), Path.unlink,
                                    lambda path: path.write_bytes(b"\xff\xfe")], ids=["changed", "missing", "not text"])
def test_a_bundle_that_was_tampered_with_is_refused_by_name(folder: Path, name: str, change: Callable[[Path], object]) -> None:
    if name == MANIFEST and change.__name__ == "<lambda>":
        path = folder / name
        path.write_text(path.read_text().replace('"value": 0.9', '"value": 0.99', 1))
    else:
        change(folder / name)
    with pytest.raises(BundleError, match=name) as refusal:
        read_bundle(folder)
    assert refusal.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"format": 2}'])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest.json cannot be read"):
        read_bundle(folder)


def test_a_manifest_of_another_flow_is_refused_even_when_sealed_again(folder: Path) -> None:
    told = Manifest.model_validate_json((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(told.model_copy(update={"flow_hash": "0" * 32}).sealed().model_dump_json())
    with pytest.raises(BundleError, match="is not that of its manifest"):
        read_bundle(folder)


@pytest.mark.parametrize("entry", [dense(), entry(2, status=Status.GATE), entry(2, status=None)],
                         ids=["dense", "gate", "open"])
def test_only_a_candidate_with_a_graph_that_passed_is_exported(tmp_path: Path, entry: Entry) -> None:
    if entry.candidate.is_dense:
        entry = replace(entry, candidate=replace(entry.candidate, flow=flow_record("dense", "", None)))
    with pytest.raises(BundleError, match="cannot be exported"):
        write_bundle(entry, PROVENANCE, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_a_bundle_is_replaced_by_force_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_bundle(exported(), PROVENANCE, tmp_path / "empty")
    assert read_bundle(tmp_path / "empty").manifest.candidate == 23
    with pytest.raises(BundleError, match="is not empty"):
        write_bundle(exported(0.5), PROVENANCE, folder)
    assert read_bundle(folder).manifest.metrics["accuracy"].value == 0.9
    write_bundle(exported(0.5), PROVENANCE, folder, force=True)
    assert read_bundle(folder).manifest.metrics["accuracy"].value == 0.5
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_force_replaces_nothing_but_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is not empty") as refusal:
        write_bundle(exported(), PROVENANCE, tmp_path, force=True)
    assert "Only an earlier bundle" in refusal.value.hint
    with pytest.raises(BundleError, match="is a file"):
        write_bundle(exported(), PROVENANCE, tmp_path / "thesis.txt", force=True)
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(exported(), PROVENANCE, tmp_path / "thesis.txt" / "out")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("accuracy", "speed", "holds"), [
    (0.9, 2.0, [True, True]), (0.95, 2.4, [True, True]), (0.875, 1.9, [True, True]), (0.6, 2.0, [False, True]),
    (0.9, 1.5, [True, False]), (0.2, 1.0, [False, False])])
def test_a_new_measurement_is_as_good_unless_it_is_worse_beyond_doubt(folder: Path, accuracy: float, speed: float,
                                                                      holds: list[bool]) -> None:
    verdicts = as_good_as(read_bundle(folder), exported(accuracy, speed))
    assert [verdict.metric for verdict in verdicts] == ["accuracy", "speed"]
    assert [verdict.holds for verdict in verdicts] == holds
    for verdict in verdicts:
        assert verdict.change is not None and verdict.change.low <= verdict.change.value <= verdict.change.high
        assert verdict.text.endswith("as good" if verdict.holds else "worse")


def test_what_could_not_be_measured_here_does_not_hold(folder: Path) -> None:
    verdicts = as_good_as(read_bundle(folder), entry(23, status=Status.CRASH))
    assert [(verdict.holds, verdict.here) for verdict in verdicts] == [(False, None), (False, None)]
    assert verdicts[0].text == "accuracy could not be measured here; 0.90 ±.10 in the manifest"


def test_the_report_is_json_with_every_stage_and_row(folder: Path) -> None:
    told = json.loads((folder / "report.json").read_text())
    bundle: Bundle = read_bundle(folder)
    assert [result["stage"] for result in told["results"]] == ["retrieval", "speed"]
    assert len(told["rows"]) == len(bundle.rows) == 45
