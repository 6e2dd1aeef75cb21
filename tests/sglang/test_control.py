"""Asking a real scheduler while it serves from a pool that is far too small: pages are evicted, taken back and used again."""
import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.compiler.world import built_in
from tests.sglang.asks import tokens, use, words
from vortex.config import OperatingPoint
from vortex.errors import EngineError, VortexError
from vortex.serving.engine import Request
from vortex.serving.sglang.control import Answer
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.options import SglangOptions

POOL = 640                                # tokens: 40 pages
POINT = OperatingPoint(engine="sglang", topk_val=1, topk_ratio=0.0, block_reserved_eos=1, dense_below="never")
SHARED = words(40, 1)
PROMPTS = [SHARED + words(20 + 5 * row, row) for row in range(5)] + [words(90, row) for row in range(5, 8)]
WAIT_S = 120.0


@pytest.fixture(scope="module")
def engine(models: Callable[[str], str]) -> Iterator[SglangEngine]:
    with pytest.MonkeyPatch.context() as environment:
        # SGLang then takes in more than it has room for.
        environment.setenv("SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION", "1")
        environment.setenv("SGLANG_RETRACT_DECODE_STEPS", "2")
        engine = SglangEngine(SglangOptions(max_total_tokens=POOL, max_running_requests=8, chunked_prefill_size=64,
                                            more={"sleep_on_idle": True}))
        engine.start(models("qwen3"))
        use(engine, "h2o", POINT)         # keeps state: what starts without sharing prefixes shares them after a swap
        use(engine, "quest", POINT)
        yield engine
        engine.stop()


def requests(count: int, length: int) -> list[Request]:
    return [Request(id=str(row), tokens=prompt, max_new_tokens=length, ignore_eos=True)
            for row, prompt in enumerate(PROMPTS[:count])]


def log_of(engine: SglangEngine) -> str:
    return (engine._started.host.folder / "log").read_text()


def swap(engine: SglangEngine, flow: str | None, point: OperatingPoint = POINT) -> Answer:
    """Without what the engine does around it."""
    graph = None if flow is None else json.loads(built_in(flow, engine.geometry(point.block_size)).to_json())
    return engine.ask({"do": "use", "graph": graph, "point": point.model_dump(mode="json")})[0]


def test_no_summary_is_missing_or_wrong_where_requests_are_retracted_and_pages_evicted(engine: SglangEngine) -> None:
    engine.ask({"do": "audit", "on": True})
    before = log_of(engine).count("Retract")
    first, second = (tokens(engine, requests(8, 70)) for _ in range(2))
    told = engine.ask({"do": "audit", "on": False})[0]
    assert log_of(engine).count("Retract") > before, "the pool held them all"
    assert all(len(found) == 70 for found in first) and first == second
    assert told["audited"] > 10_000 and (told["missing"], told["different"]) == (0, 0)


def test_wiped_summaries_are_found_missing_and_rebuilt_from_the_pages(engine: SglangEngine) -> None:
    right = tokens(engine, requests(2, 8))
    engine.ask({"do": "audit", "on": True})
    engine.ask({"do": "wipe"})
    tokens(engine, requests(2, 8))
    assert engine.ask({"do": "counters"})[0]["missing"] > 0
    engine.ask({"do": "rebuild"})
    engine.ask({"do": "audit", "on": True})
    assert tokens(engine, requests(2, 8)) == right
    told = engine.ask({"do": "audit", "on": False})[0]
    assert told["audited"] > 0 and (told["missing"], told["different"]) == (0, 0)


def test_flows_are_swapped_under_load_and_every_request_gets_all_its_tokens(engine: SglangEngine) -> None:
    swap(engine, "quest")
    served: list[list[tuple[int, ...]]] = []
    load = threading.Thread(target=lambda: served.append(tokens(engine, requests(4, 250))))
    load.start()
    _until(lambda: health(engine)["running"] == 4)
    answers = {}
    for flow in ("h2o", None, "quest"):
        answers[flow] = swap(engine, flow)
        _until(lambda: health(engine)["running"] > 0)
    with pytest.raises(EngineError, match="topk_layers has 3 values"):
        swap(engine, "quest", POINT.with_(topk_layers=((1, 1, 1),)))
    assert health(engine)["running"] + health(engine)["waiting"] > 0, "all had ended before the last swap"
    load.join(WAIT_S)
    assert [len(found) for found in served[0]] == [250] * 4
    assert [answer["radix"] for answer in answers.values()] == [False, True, True]
    assert answers["quest"]["index_bytes"] > answers["h2o"]["index_bytes"] > answers[None]["index_bytes"] == 0
    assert engine.ask({"do": "counters"})[0]["flow"] == "quest"


def test_a_flow_that_comes_back_answers_as_it_did(engine: SglangEngine) -> None:
    use(engine, "quest", POINT)
    right = tokens(engine, requests(3, 24))
    for flow in ("h2o", None):
        use(engine, flow, POINT)
        assert tokens(engine, requests(3, 24)) != right
    use(engine, "quest", POINT)
    assert tokens(engine, requests(3, 24)) == right


def test_flows_with_state_share_no_prefixes_and_say_so(engine: SglangEngine) -> None:
    use(engine, "h2o", POINT)
    for _ in range(2):
        assert [found.cached_tokens for found in engine.generate(requests(2, 2))] == [0, 0]
    assert "h2o keeps state by request" in log_of(engine)
    use(engine, "quest", POINT)
    list(engine.generate(requests(2, 2)))
    assert all(found.cached_tokens >= 32 for found in engine.generate(requests(2, 2)))


def test_a_scheduler_that_sleeps_is_woken_to_answer(engine: SglangEngine) -> None:
    time.sleep(1.5)
    began = time.monotonic()
    for _ in range(5):
        health(engine)
    assert time.monotonic() - began < 3.0, "it polls once a second"


@pytest.mark.parametrize("body", [{"do": "fly"}, {"do": "use", "graph": {}, "point": {}}, {"do": "record", "what": "all"}])
def test_what_is_refused_changes_nothing(engine: SglangEngine, body: Answer) -> None:
    before = engine.ask({"do": "counters"})
    with pytest.raises(VortexError):
        engine.ask(body)
    assert engine.ask({"do": "counters"}) == before


def health(engine: SglangEngine) -> Answer:
    return engine.ask({"do": "health"})[0]


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
