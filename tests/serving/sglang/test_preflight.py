"""What is decided before SGLang starts a child: flows by name become Graphs, SGLang is told what flows need."""
import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving.sglang.facts import LATENT, SHAPE, model, view
from vortex import flows
from vortex.config import OperatingPoint
from vortex.errors import EngineError, FlowNotFound, VortexError
from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.models import ModelFacts
from vortex.serving.sglang.preflight import concerned, index_of, prepare, settle
from vortex.serving.sglang.ranks import share_of
from vortex.serving.sglang.settings import VARIABLE, Settings, read_settings


def settings(text: str) -> Settings:
    found = read_settings({VARIABLE: text})
    assert found is not None
    return found


@pytest.mark.parametrize("name", [*flows.ALGORITHMS, *flows.CONTROLS])
def test_every_built_in_flow_is_served_by_its_name(name: str) -> None:
    start = prepare(settings(json.dumps({"flow": name, "point": {"renew_every": 1}})), view(), model())
    graph = start.settings.flow()
    assert graph is not None and graph.geometry == SHAPE.geometry(16) and start.settings.named is None
    assert start.settings.point.model == "m" and start.told["page_size"] == 16
    assert bool(graph.states) == bool(start.notes)


@pytest.mark.parametrize("name", flows.LATENT)
def test_every_built_in_latent_flow_is_served_on_mla(name: str) -> None:
    start = prepare(settings(name), view(), model(LATENT, kind="deepseek_v2"))
    graph = start.settings.flow()
    assert start.told["flashinfer_mla_disable_ragged"], "prefills are absorbed"
    assert graph is not None and graph.geometry == LATENT.geometry(16)


def test_a_file_is_read_where_the_server_is_started_and_its_text_goes_no_further(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(flows.read("quest")[1])
    start = prepare(settings(str(file)), view(), model())
    file.unlink()
    found = read_settings(start.settings.put(tmp_path))
    assert found is not None and found.flow() == start.settings.flow() and "class" not in (found.graph or "class")


def test_a_name_that_a_file_does_not_register_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(flows.read("quest")[1])
    with pytest.raises(FlowNotFound, match="registers no flow 'other'"):
        prepare(settings(json.dumps({"module_path": str(file), "module_name": "other"})), view(), model())


def test_without_a_flow_the_server_is_dense_and_pages_are_ready_for_one() -> None:
    start = prepare(settings('{"point": {"block_size": 32}}'), view(), model())
    assert start.settings.flow() is None and start.told == {"attention_backend": "vortex", "page_size": 32}


@pytest.mark.parametrize(("given", "ours"), [
    ({}, True), ({"attention_backend": "vortex"}, True), ({"attention_backend": "torch_native"}, False),
    ({"decode_attention_backend": "vortex"}, True), ({"prefill_attention_backend": "fa3"}, False),
    ({"attention_backend": "vortex", "prefill_attention_backend": "fa3"}, True),
])
def test_who_names_another_backend_gets_it(given: dict[str, Any], ours: bool) -> None:
    assert concerned(view(**given)) is ours


@pytest.mark.parametrize(("text", "given", "found", "what"), [
    ("quest", {"page_size": 24}, model(), "whole number of blocks"), ("quest", {"pp_size": 2}, model(), "--pp-size 2"),
    ("quest", {}, model(window=128), "window"), ("quest", {}, model(LATENT, kind="deepseek_v2"), "for keys and values"),
    ("mla-centroid", {}, model(), "is for latent attention"), ("lserve", {}, model(), "serve 4 steps"),
    ('{"flow": "quest", "point": {"layers_skip": [9]}}', {}, model(), "layers_skip names layer 9"),
    ('{"flow": "quest", "point": {"topk_layers": [[1, 2, 3]]}}', {}, model(), "3 values"),
])
def test_what_cannot_be_served_is_refused_before_anything_starts(text: str, given: dict[str, Any], found: ModelFacts,
                                                                 what: str) -> None:
    with pytest.raises(VortexError, match=what):
        prepare(settings(text), view(**given), found)


def test_hybrid_models_keep_summaries_in_the_layers_that_attend_in_full() -> None:
    every, some = (index_of(prepare(settings("quest"), view(), found).settings, found)
                   for found in (model(), model(kind="qwen3_next", full=frozenset({3}))))
    assert (some.kv, some.index) == (every.kv // 4, every.index // 4)


@pytest.mark.parametrize(("ranks", "heads"), [(1, 2), (2, 1), (4, 1)])
def test_a_rank_counts_and_traces_for_its_own_heads(ranks: int, heads: int) -> None:
    shape = ModelShape(layers=4, kv_heads=heads, group=8 // ranks // heads, head_dim=32, vocabulary=512, max_tokens=4096,
                       hidden=128, intermediate=256, tied=False)
    found = model(shape, share=share_of(0, ranks, 2))
    told = '{"flow": "quest", "point": {"topk_layers": [[3, 4]], "topk_ratio": 0.0}}'
    start = prepare(settings(told), view(tp_size=ranks), found)
    graph = start.settings.flow()
    assert graph is not None and graph.geometry.group == 8 // ranks // heads
    assert start.settings.point.topk_layers == ((3, 4),), "ranks take their parts themselves"
    assert index_of(start.settings, found).index == heads * index_of(start.settings, model(
        ModelShape(**{**vars(shape), "kv_heads": 1}), share=share_of(0, max(ranks, 2), 2))).index


def test_the_memory_is_told_and_too_much_of_it_refused() -> None:
    ready, found = prepare(settings("quest"), view(), model()).settings, model()
    told = settle(ready, found, view(page_size=16, max_total_tokens=1000), item=2, room=1 << 30)
    assert told == "summaries take 128 bytes a token beside 1024 of keys and values (11.1% of both), 125.0 KiB for 1000 tokens"
    with pytest.raises(EngineError, match="enough for 888 tokens"):
        settle(ready, found, view(page_size=16, max_total_tokens=1000), item=2, room=1024 * 1000)
    assert settle(ready, found, view(page_size=16), item=2, room=None)


def test_a_page_size_that_sglang_changed_later_is_refused() -> None:
    ready = prepare(settings("quest"), view(), model()).settings
    with pytest.raises(EngineError, match="a page of 1 tokens"):
        settle(ready, model(), view(page_size=1), item=2, room=None)


def test_defaults_of_the_point_are_those_of_the_platform() -> None:
    assert settings("quest").point == OperatingPoint(model="", engine="sglang")
