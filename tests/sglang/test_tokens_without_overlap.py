"""As test_tokens.py, with a mixture of experts, and the scheduler waits for each step before it makes the next one."""
from collections.abc import Callable, Iterator

import pytest

from tests.sglang.asks import SEEDED, Tokens, check_greedy, tokens, use_whole
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.options import SglangOptions

MODEL = "qwen3-moe"


@pytest.fixture(scope="module")
def engine(models: Callable[[str], str]) -> Iterator[SglangEngine]:
    engine = SglangEngine(SglangOptions(max_total_tokens=8192, max_running_requests=8, chunked_prefill_size=64,
                                        overlap=False))
    engine.start(models(MODEL))
    yield engine
    engine.stop()


@pytest.mark.parametrize("flow", ["quest", "running-average"], ids=str)
def test_tokens_are_those_of_sglangs_own_attention(
        engine: SglangEngine, flow: str | None, own_tokens: Callable[[str], list[Tokens]]) -> None:
    greedy, seeded = own_tokens(MODEL)
    use_whole(engine, flow)
    check_greedy(engine, greedy, sparse=flow is not None, shared=flow != "running-average")       # which keeps state
    assert tokens(engine, SEEDED) == seeded
