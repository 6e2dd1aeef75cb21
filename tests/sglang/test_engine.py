"""The Engine protocol over the real SGLang with the probe: what the embedded engine says of it, and no process afterwards."""
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from tests.compiler.world import assert_same_blocks, built_in
from tests.sglang.asks import completions, tokens, words
from vortex.compiler import reference
from vortex.config import OperatingPoint
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Engine, Request
from vortex.serving.sglang.engine import SglangEngine, SglangOptions
from vortex.serving.sglang.process import lives

POINT = OperatingPoint(engine="sglang", topk_ratio=0.125, dense_below="never")
GONE_S = 20.0


@pytest.fixture(scope="module")
def engine() -> Iterator[SglangEngine]:
    engine = SglangEngine(SglangOptions(max_total_tokens=16_384, max_running_requests=8))
    engine.start("probe")
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(device="cpu")
    engine.start("probe")
    yield engine
    engine.stop()


def use(engine: Engine, flow: str | None, point: OperatingPoint = POINT) -> None:
    engine.use(None if flow is None else built_in(flow, engine.geometry(point.block_size)), point)


def ask(count: int, length: int = 100, **settings: object) -> list[Request]:
    fixed = {"max_new_tokens": 8, "ignore_eos": True, **settings}
    return [Request(id=str(row), tokens=words(length + 7 * row, row), **fixed) for row in range(count)]  # type: ignore[arg-type]


def scores(engine: Engine, stage: AccuracyStage) -> dict[str, float]:
    problems = {problem.id: problem for problem in stage.problems(POINT)}
    return {answered.problem: stage.grade(problems[answered.problem], answered, POINT).score
            for answered in stage.run(engine, None, POINT, list(problems.values()), ())}


@pytest.mark.parametrize("flow", [None, "quest"])
def test_solves_what_the_embedded_engine_solves(engine: SglangEngine, embedded: EmbeddedEngine, flow: str | None) -> None:
    stage = make_stage("retrieval", {"tasks": ["multikey-1k-full", "vt-1k-4hop"], "samples": 3})
    assert isinstance(stage, AccuracyStage)
    use(engine, flow)
    use(embedded, flow)
    found = scores(engine, stage)
    assert found == scores(embedded, stage) and sum(found.values()) > 3


def test_draws_follow_the_seed_of_each_request(engine: SglangEngine) -> None:
    use(engine, "quest")
    same = ask(1, temperature=1.0, seed=5)[0]
    drawn = [tokens(engine, [same])[0] for _ in range(2)]
    others = {tokens(engine, ask(1, temperature=1.0, seed=seed))[0] for seed in range(6, 10)}
    assert drawn[0] == drawn[1] and len(others | {drawn[0]}) > 2


def test_a_prompt_that_was_served_is_not_prefilled_again(engine: SglangEngine) -> None:
    asked = [Request(id="once", tokens=words(333, 99), max_new_tokens=8, ignore_eos=True)]
    use(engine, "quest")
    first, = completions(engine, asked)
    use(engine, None)
    again, = completions(engine, asked)
    assert first.cached_tokens == 0 and again.cached_tokens == 320
    assert first.prefill_s > 0 and first.decode_s > 0 and first.finish == "length"


def test_stops_at_the_tokens_of_a_request(engine: SglangEngine) -> None:
    use(engine, None)
    whole = tokens(engine, ask(1))[0]
    stop = next(token for token in whole if token != whole[0])
    found, = completions(engine, ask(1, stop=(stop,), ignore_eos=False))
    assert found.tokens == whole[:whole.index(stop) + 1] and found.finish == "stop"


@pytest.mark.parametrize("flow", [None, "quest"])
def test_times_steps_of_a_filled_context(engine: SglangEngine, flow: str | None) -> None:
    use(engine, flow)
    times = engine.forced_decode(3, 200, 5)
    assert len(times.seconds) == 5 and 0 < min(times.seconds) <= max(times.seconds) < 60


def test_speed_tells_the_memory_of_all_its_processes(engine: SglangEngine) -> None:
    stage = make_stage("speed", {"batch": 2, "context": 64, "steps": 2, "warmup": 0, "repeats": 2})
    graph = built_in("quest", engine.geometry(16))
    first = next(stage.run(engine, graph, POINT, stage.problems(POINT), ()))
    host = psutil.Process(engine._started.host.pid)
    resident = [one.memory_info().rss for one in (psutil.Process(), host, *host.children(recursive=True))]
    assert len(resident) > 2 and first.data["memory_of"] == "resident"
    assert first.data["memory_bytes"] == pytest.approx(sum(resident), rel=0.1)


def test_recorded_selections_are_the_references(engine: SglangEngine) -> None:
    use(engine, "quest")
    graph = built_in("quest", engine.geometry(16))
    with engine.record("qkv") as recording:
        tokens(engine, ask(2, length=200, max_new_tokens=3))
    assert len(recording.events) == 2 * 4
    for event in recording.events:
        assert set(event["requests"]) == {"0", "1"}
        for row, lists in enumerate(event["lists"]):
            for head, taken in enumerate(lists):
                asked = reference.Row(q=event["q"][row, head], k=event["k"][row][head], v=event["v"][row][head],
                                      layer=event["layer"], head=head, seed=event["seeds"][row])
                assert_same_blocks(taken, reference.run(graph, POINT, asked))


def test_what_nobody_wants_any_more_is_given_up(engine: SglangEngine) -> None:
    use(engine, None)
    short = Request(id="short", tokens=words(20, 3), max_new_tokens=2, ignore_eos=True)
    answers = engine.generate([*ask(3, max_new_tokens=2000), short])
    assert next(answers).id == "short"
    answers.close()  # type: ignore[attr-defined]  # a generator's
    assert within(GONE_S, lambda: engine.health()["running"] == 0)
    assert len(completions(engine, ask(3))) == 3


def test_nothing_is_left_when_its_parent_is_gone(engine: SglangEngine) -> None:
    """The last of this file: the socket closes in the middle of generating, as it does when the parent is killed."""
    host = engine._started.host
    pids = [host.pid, *(child.pid for child in psutil.Process(host.pid).children(recursive=True))]
    mapped = [line.split()[-1] for pid in pids for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    shared = {Path(path) for path in mapped if path.startswith("/dev/shm/")}
    assert len(pids) > 2
    next(engine.generate([*ask(2, max_new_tokens=4000), Request(id="short", tokens=(5, 6), max_new_tokens=1)]))
    host._socket.shutdown(2)
    assert within(GONE_S, lambda: not any(map(lives, pids))) and not host.folder.exists()
    assert shared and within(GONE_S, lambda: not any(path.exists() for path in shared))


def within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()
