"""Traces hold what decode steps saw, and come back from disk as they were."""
import json
from pathlib import Path

import pytest
import torch

from evaluator.traces import store
from evaluator.traces.capture import Trajectory, places
from evaluator.traces.prompts import Prompt
from tests.traces.conftest import POINT
from vortex.serving.checkpoint import find_checkpoint
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Request

MANIFEST = store.Manifest(model="probe", engine="embedded", tasks={"chain-15": "x"}, seed=1,
                          steps=2, fingerprint="f", versions={})


@pytest.mark.parametrize(("tokens", "steps", "wanted"), [
    (3, 3, (0, 1)), (12, 2, (5, 10)), (12, 1, (10,)), (95, 3, (31, 62, 93)), (5, "every", (0, 1, 2, 3)), (4, 9, (0, 1, 2)),
])
def test_captured_steps_are_spread_over_the_answer(tokens: int, steps: int, wanted: tuple[int, ...]) -> None:
    assert places(tokens, steps) == wanted


def test_a_trace_is_what_an_unbroken_dense_run_records(leader: EmbeddedEngine, trajectories: list[Trajectory]) -> None:
    leader.use(None, POINT)
    for one in trajectories:
        asked = Request(id="0", tokens=one.path.prompt, max_new_tokens=len(one.path.forced))
        with leader.record("qkv") as recording:
            list(leader.generate([asked]))
        for event in recording.events:
            assert event["k"][0].shape[1] > len(one.path.prompt)
            if event["lens"][0] in one.lens:
                step, layer, length = one.lens.index(event["lens"][0]), event["layer"], event["lens"][0]
                torch.testing.assert_close(one.q[step, layer], event["q"][0], atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(one.k[layer, :, :length], event["k"][0], atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(one.v[layer, :, :length], event["v"][0], atol=1e-4, rtol=1e-4)


def test_probabilities_are_those_of_the_dense_path(trajectories: list[Trajectory]) -> None:
    for one in trajectories:
        assert one.log_probs is not None
        assert one.log_probs.argmax(dim=-1).tolist() == list(one.path.forced[1:])
        torch.testing.assert_close(one.log_probs.exp().sum(dim=-1), torch.ones(len(one.path.forced) - 1))


def test_traces_come_back_as_they_were(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    assert list(store.write(tmp_path, MANIFEST, trajectories)) == trajectories
    manifest, found = store.read(tmp_path)
    assert [one["id"] for one in manifest.files] == [one.id for one in trajectories]
    for own, wanted in zip(found, trajectories, strict=True):
        assert (own.id, own.path, own.lens) == (wanted.id, wanted.path, wanted.lens)
        assert own.log_probs is not None and wanted.log_probs is not None
        assert all(map(torch.equal, (own.q, own.k, own.v, own.log_probs), (wanted.q, wanted.k, wanted.v, wanted.log_probs)))


def test_the_size_is_told_before_and_not_exceeded(tmp_path: Path, trajectories: list[Trajectory]) -> None:
    list(store.write(tmp_path, MANIFEST, trajectories))
    told = [store.expected_bytes(find_checkpoint("probe").shape, [Prompt(id=one.id, text="", max_new_tokens=12)],
                                 [len(one.path.prompt)], 2) for one in trajectories]
    for bound, one in zip(told, store.read_manifest(tmp_path).files, strict=True):
        assert 0.5 * bound < int(one["bytes"]) < bound + 4096           # ids and the file's own head


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda folder: (folder / "manifest.json").unlink(), "there are no traces"),
    (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "manifest.json").write_text(json.dumps({"format": 9})), "another format"),
    (lambda folder: (folder / "0000.safetensors").write_bytes(b"no"), "damaged"),
    (lambda folder: (folder / "0000.safetensors").unlink(), "damaged"),
])
def test_spoilt_traces_are_refused(tmp_path: Path, trajectories: list[Trajectory], spoil: object, said: str) -> None:
    list(store.write(tmp_path, MANIFEST, trajectories))
    spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(store.TraceError, match=said):
        store.read(tmp_path)


def test_only_traces_are_replaced_and_only_by_force(tmp_path: Path) -> None:
    store.check_free(tmp_path / "new", force=False)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(store.TraceError, match="not empty"):
        store.check_free(tmp_path, force=False)
    with pytest.raises(store.TraceError, match="something else"):
        store.check_free(tmp_path, force=True)
    (tmp_path / "manifest.json").write_text("{}")
    store.check_free(tmp_path, force=True)
    with pytest.raises(store.TraceError, match="are free"):
        store.check_room(tmp_path / "a" / "b", 1 << 60)
