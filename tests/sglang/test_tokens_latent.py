"""Latent attention: with every block kept, tokens are those of SGLang's own attention, which reads the same latent rows."""
from collections.abc import Callable, Iterator

import pytest

from tests.sglang.asks import SEEDED, Tokens, check_greedy, tokens, use_whole
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.options import SglangOptions

MODEL = "deepseek-v2"


@pytest.fixture(scope="module")
def engine(models: Callable[[str], str]) -> Iterator[SglangEngine]:
    engine = SglangEngine(SglangOptions(max_total_tokens=8192, max_running_requests=8, chunked_prefill_size=64))
    engine.start(models(MODEL))
    yield engine
    engine.stop()


@pytest.mark.parametrize("flow", ["mla-centroid", "mla-weighted"])
def test_tokens_are_those_of_sglangs_own_attention(
        engine: SglangEngine, flow: str, own_tokens: Callable[[str], list[Tokens]]) -> None:
    greedy, seeded = own_tokens(MODEL)
    use_whole(engine, flow)
    check_greedy(engine, greedy, sparse=True, shared=True)
    assert tokens(engine, SEEDED) == seeded
