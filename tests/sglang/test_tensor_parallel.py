"""Two ranks of tensor parallelism (gloo, on a CPU) choose by kv head what one engine chooses, and answer alike."""
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.sglang.asks import GREEDY, Tokens, tokens
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.flows import read
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.options import SglangOptions

WHOLE = OperatingPoint(engine="sglang", topk_ratio=1.0, dense_below="never")
FIRST, NEW = 3, 8                         # few prompts and tokens: ranks wait for each other in every layer
SHORT = [replace(request, max_new_tokens=NEW) for request in GREEDY[FIRST:]]
# A budget by kv head, so that a rank that took the other's would show.
TIGHT = OperatingPoint(engine="sglang", topk_layers=((1, 4),), topk_ratio=0.0, dense_below="never")


@pytest.fixture(scope="module")
def engine(models: Callable[[str], str]) -> Iterator[SglangEngine]:
    engine = SglangEngine(SglangOptions(tp_size=2, max_total_tokens=8192, max_running_requests=8))
    engine.start(models("qwen3"))
    yield engine
    engine.stop()


def test_tokens_are_those_of_one_rank_when_every_block_is_kept(
        engine: SglangEngine, own_tokens: Callable[[str], list[Tokens]]) -> None:
    _, text, path = read("quest")
    engine.use(load(text, path, engine.geometry(16)), WHOLE)
    assert tokens(engine, SHORT) == [own[:NEW] for own in own_tokens("qwen3")[0][FIRST:]]


def test_each_rank_keeps_to_the_budgets_of_its_own_heads(engine: SglangEngine, models: Callable[[str], str]) -> None:
    _, text, path = read("quest")
    graph = load(text, path, engine.geometry(16))
    engine.use(graph, TIGHT)
    with engine.record("selections") as recording:
        found = tokens(engine, SHORT)
    longest = [event for event in recording.events if max(event["lens"]) > 16 * 10]
    assert longest
    for event in longest:
        for length, (first, second) in zip(event["lens"], event["lists"], strict=True):
            blocks = -(-length // 16)
            assert (len(first), len(second)) == (min(blocks, 1 + 2 + 1), min(blocks, 1 + 2 + 4))
    other = EmbeddedEngine("cpu")
    other.start(models("qwen3"))
    other.use(graph, TIGHT.with_(engine="embedded"))
    wanted = {completion.id: completion.tokens for completion in other.generate(SHORT)}
    assert found == [wanted[request.id] for request in SHORT]
