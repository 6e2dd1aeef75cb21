"""Texts of others come through the sandbox: what comes out is checked, and nobody's own fault is blamed on a text."""
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from agent.untrusted import load_untrusted
from evaluator.sandbox import choice
from vortex import flows
from vortex.compiler.front import load
from vortex.errors import GraphError, SandboxUnavailable
from vortex.ir import Geometry, Graph, Parameter

LEARNED = '''
from vortex import ops, register, vFlow


@register("learned")
class Learned(vFlow):
    def forward_cache(self, cache):
        cache["c"] = (cache["k"] @ ops.param("w.safetensors", "w")).mean(dim=1)

    def forward_indexer(self, q, cache):
        low = q @ ops.param("w.safetensors", "w")
        return ops.topk((low @ cache["c"].T).max(dim=2).max(dim=1))
'''


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no sandbox holds."""
    monkeypatch.setattr(choice, "standing", lambda: choice.Standing(None, ("Landlock: no",)))
    monkeypatch.setattr(choice, "_unsafe", threading.Event())


def written(folder: Path) -> str:
    """A flow's file with its constants beside it."""
    save_file({"w": np.ones((128, 8), np.float32)}, folder / "w.safetensors")
    path = folder / "learned.py"
    path.write_text(LEARNED)
    return str(path)


def test_numbers_of_parameters_stay_outside(tmp_path: Path) -> None:
    """A file of the user's has its safetensors read here; the sandbox sees shapes and digests."""
    path = written(tmp_path)
    text = Path(path).read_text()
    record, refusal = load_untrusted(path, text, Geometry())
    assert refusal is None and record.graph is not None
    right = load(text, path, Geometry())
    assert record.graph == right
    assert [one.data for one in record.graph.parameters] == [one.data for one in right.parameters]
    assert record.graph.parameters[0].data


def test_a_graph_with_a_parameter_that_nobody_gave_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text, path = flows.read("quest")
    forged = replace(load(text, path, Geometry()), parameters=(Parameter("w.safetensors", "w", (2, 2), "0" * 32, b"x"),))

    def answers(*args: Any, **how: Any) -> str:
        return forged.to_json()

    monkeypatch.setattr("evaluator.sandbox.reading.run", answers)
    record, refusal = load_untrusted("<a>", text, Geometry())
    assert isinstance(refusal, GraphError) and "was not given" in refusal.message
    assert record.graph is None


@pytest.mark.parametrize("forge", [
    lambda right: replace(right, geometry=Geometry(head_dim=64)),
    lambda right: replace(right, indexer=(replace(right.indexer[0], op="x\nimport os"), *right.indexer[1:])),
    lambda right: replace(right, indexer=right.indexer[:-1]),
], ids=["geometry", "op", "no selection"])
def test_a_graph_that_no_text_gives_is_refused_whatever_the_sandbox_says(monkeypatch: pytest.MonkeyPatch, forge: Any) -> None:
    _, text, path = flows.read("quest")
    forged = forge(load(text, path, Geometry())).to_json()
    monkeypatch.setattr("evaluator.sandbox.reading.run", lambda *args, **how: forged)
    record, refusal = load_untrusted("<a>", text, Geometry())
    assert isinstance(refusal, GraphError) and record.graph is None


def test_what_is_no_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.sandbox.reading.run", lambda *args, **how: "{}")
    assert isinstance(load_untrusted("<a>", "text", Geometry())[1], GraphError)


def test_without_a_sandbox_nothing_is_held_against_a_text(bare: None) -> None:
    with pytest.raises(SandboxUnavailable, match="no sandbox for a text that somebody else wrote"):
        load_untrusted("<a>", flows.read("quest")[1] + "\n# another's", Geometry())


@pytest.mark.filterwarnings("ignore:no sandbox here")
def test_without_a_sandbox_texts_of_ours_are_loaded(bare: None) -> None:
    """The built-in flows, known by their text; and what the evolver wrote, where the caller says so."""
    text = flows.read("quest")[1]
    for asked, trusted in ((text, False), (text + "\n# evolved", True)):
        record, refusal = load_untrusted("<a>", asked, Geometry(), trusted=trusted)
        assert refusal is None and isinstance(record.graph, Graph)
