"""The engine over SGLang, with a few lines in SGLang's place: what it tells the host, what it refuses before anything runs."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.compiler.world import built_in
from tests.serving.sglang.stand_in import make_python
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, EngineError, ModelError, VortexError
from vortex.serving import make_engine
from vortex.serving.checkpoint import find_checkpoint, load_tokenizer
from vortex.serving.engine import Request
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.host import chosen
from vortex.serving.sglang.options import CPU_KV_BYTES, LEAST_CONTEXT, SglangOptions, token_bytes
from vortex.serving.sglang.python import VARIABLE
from vortex.serving.sglang.recordings import merged

POINT = OperatingPoint(engine="sglang")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SglangEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(make_python(tmp_path_factory.mktemp("stand-in"))))
        engine = SglangEngine()
        engine.start("probe")
        engine.use(None, POINT)
        yield engine
        engine.stop()


def ask(count: int = 1, **settings: Any) -> list[Request]:
    return [Request(**{"id": str(row), "tokens": (5, 10 + row), "max_new_tokens": 3, **settings}) for row in range(count)]


def log(engine: SglangEngine) -> str:
    return (engine._started.host.folder / "log").read_text()


def test_is_the_engine_that_a_point_names(engine: SglangEngine) -> None:
    assert isinstance(make_engine("sglang"), SglangEngine)
    assert engine.geometry(16) == find_checkpoint("probe").shape.geometry(16)
    assert engine.tokenizer.encode("key") == load_tokenizer(find_checkpoint("probe")).encode("key")


def test_flows_are_swapped_and_weights_stay(engine: SglangEngine) -> None:
    pid = engine._started.host.pid
    quest = built_in("quest", engine.geometry(16))
    engine.use(quest, POINT.with_(topk_ratio=0.25))
    engine.use(None, POINT)
    asked = [json.loads(line.removeprefix("asked ")) for line in log(engine).splitlines() if line.startswith("asked ")][-2:]
    assert [a["do"] for a in asked] == ["use", "use"]
    assert json.loads(asked[0]["graph"]) == json.loads(quest.to_json()) and asked[1]["graph"] is None
    assert asked[0]["point"]["topk_ratio"] == 0.25
    assert engine._started.host.pid == pid


def test_a_refused_swap_is_what_the_scheduler_says(engine: SglangEngine) -> None:
    with pytest.raises(BudgetError, match="half is too much"):
        engine.use(None, POINT.with_(topk_ratio=0.5))
    assert len(list(engine.generate(ask()))) == 1


def test_blocks_that_do_not_fit_the_pages_start_it_again(engine: SglangEngine) -> None:
    pid = engine._started.host.pid
    engine.use(None, POINT.with_(block_size=8))
    assert engine._started.host.pid == pid                 # two blocks a page
    engine.use(None, POINT.with_(block_size=32))
    assert "'page_size': 32" in log(engine) and engine._started.host.pid != pid
    engine.use(None, POINT.with_(page_size=64))
    assert "'page_size': 64" in log(engine)
    engine.use(None, POINT)
    assert "'page_size': 64" in log(engine)                # holds blocks of 16 as well


def test_one_that_died_is_started_again_by_the_next_flow(engine: SglangEngine) -> None:
    with pytest.raises(VortexError):
        list(engine.generate(ask(tokens=(5, 61))))
    assert not engine._started.host.alive
    engine.use(None, POINT)
    assert [completion.tokens for completion in engine.generate(ask())] == [(11, 12, 13)]


def test_completions_are_those_of_the_protocol(engine: SglangEngine) -> None:
    found = {completion.id: completion for completion in engine.generate(ask(3))}
    assert [found[str(row)].tokens for row in range(3)] == [(11 + row, 12 + row, 13 + row) for row in range(3)]
    assert found["0"].cached_tokens == 3 and found["0"].finish == "length"


def test_a_new_call_gives_the_old_one_up(engine: SglangEngine) -> None:
    old = engine.generate([*ask(max_new_tokens=40), *ask(tokens=(5, 9), id="other")])
    next(old)
    assert [completion.tokens for completion in engine.generate(ask())] == [(11, 12, 13)]
    assert list(old) == []


@pytest.mark.parametrize(("requests", "message"), [
    (ask(tokens=(736,)), "736"),
    (ask(tokens=()), "nothing to do"),
    (ask(max_new_tokens=63), "65 tokens, and 64 fit"),
    ([*ask(), *ask()], "two requests"),
])
def test_refuses_requests_before_anything_runs(engine: SglangEngine, requests: list[Request], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine.generate(requests)


def test_refuses_a_flow_of_another_geometry(engine: SglangEngine) -> None:
    with pytest.raises(EngineError, match="traced for"):
        engine.use(built_in("quest", engine.geometry(32)), POINT)


def test_times_are_of_steps_of_the_whole_batch(engine: SglangEngine) -> None:
    times = engine.forced_decode(3, 20, 4)
    assert (times.batch, times.context, times.seconds) == (3, 20, (0.0, 0.01, 0.02, 0.03))


@pytest.mark.parametrize(("batch", "context", "steps", "message"), [
    (3, 20, 0, "cannot time 0 steps"), (3, 20, 7, "6 steps only"),
    (33, 4, 1, "do not run together"), (20, 40, 1, "do not run together"),
])
def test_refuses_what_cannot_be_timed(engine: SglangEngine, batch: int, context: int, steps: int, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine.forced_decode(batch, context, steps)


def test_asks_in_order() -> None:
    engine = SglangEngine()
    for call in (lambda: engine.use(None, POINT), lambda: engine.generate(ask()), lambda: engine.tokenizer,
                 engine.health, lambda: engine.forced_decode(1, 8, 1)):
        with pytest.raises(EngineError) as refused:
            call()
        assert "Call start(model) first" in refused.value.hint
    engine.stop()


def test_a_model_that_is_not_there_is_refused_before_anything_starts() -> None:
    with pytest.raises(ModelError):
        SglangEngine().start("./nowhere")


def test_draws_are_refused_where_seeds_do_not_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(make_python(tmp_path)))
    engine = SglangEngine(SglangOptions(deterministic=False))
    engine.start("probe")
    try:
        engine.use(None, POINT)
        with pytest.raises(EngineError, match="deterministic"):
            engine.generate(ask(temperature=0.7))
        assert engine.health()["running"] == 0
    finally:
        engine.stop()


def test_a_cpu_takes_a_pool_that_fits_it_and_a_context_that_can_be_timed() -> None:
    probe = find_checkpoint("probe")
    told = SglangOptions().arguments(probe, 16)
    here, there = chosen(told, cuda=False), chosen(told, cuda=True)
    assert here["max_total_tokens"] * token_bytes(probe.shape) <= CPU_KV_BYTES and here["max_total_tokens"] % 16 == 0
    assert json.loads(here["json_model_override_args"]) == {"max_position_embeddings": LEAST_CONTEXT}
    assert (here["device"], here["dtype"], here["enable_deterministic_inference"]) == ("cpu", "float32", True)
    assert not {"device", "dtype", "max_total_tokens", "enable_deterministic_inference", "disable_cuda_graph"} & there.keys()
    asked = chosen(SglangOptions(max_total_tokens=4096, dtype="bfloat16", more={"load_format": "dummy"}).arguments(probe, 16),
                   cuda=False)
    assert (asked["max_total_tokens"], asked["dtype"], asked["load_format"]) == (4096, "bfloat16", "dummy")


@given(requests=st.integers(1, 3), heads=st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_ranks_become_one_recording_by_kv_heads(requests: int, heads: list[int]) -> None:
    total = sum(heads)
    q = torch.randn(requests, total, 2, 4)
    k = [torch.randn(total, 3 + row, 4) for row in range(requests)]
    lists = [[[head, row] for head in range(total)] for row in range(requests)]
    whole = {"layer": 1, "lists": lists, "q": q, "k": k, "mass": [key.sum(-1) for key in k]}
    ends = [sum(heads[:i + 1]) for i in range(len(heads))]
    ranks = [{"layer": 1, "lists": [own[end - n:end] for own in lists], "q": q[:, end - n:end],
              "k": [key[end - n:end] for key in k], "mass": [key[end - n:end].sum(-1) for key in k]}
             for n, end in zip(heads, ends, strict=True)]
    event = merged(ranks)
    assert event["lists"] == whole["lists"] and torch.equal(event["q"], q) and event["layer"] == 1
    assert all(map(torch.equal, event["k"], k)) and all(map(torch.equal, event["mass"], whole["mass"]))
