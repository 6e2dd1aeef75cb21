"""Latent attention and mixtures of experts inside the real SGLang: one engine, a tiny DeepSeek-V2 with both.

SGLang's own backend for CPUs does not serve latent attention, so that what is right comes from transformers.
"""
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, PreTrainedModel

from tests.compiler.world import assert_same_blocks, built_in
from tests.sglang.asks import Tokens, completions, tokens, words
from tests.sglang.models import deepseek_v2
from vortex import flows
from vortex.compiler import reference
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Geometry
from vortex.serving.engine import Request
from vortex.serving.sglang.engine import SglangEngine, SglangOptions

TOKENS = 20
EVERYTHING = OperatingPoint(engine="sglang", topk_ratio=1.0, dense_below="never")
TIGHT = EVERYTHING.with_(topk_ratio=0.0, topk_val=2)
SHARED = words(120, 0)
PROMPTS = [words(20, 1), SHARED + words(40, 2), SHARED + words(71, 3)]
ASKED = [Request(id=str(row), tokens=prompt, max_new_tokens=TOKENS, ignore_eos=True) for row, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """The first layer has no experts, the others choose two of four."""
    torch.manual_seed(0)
    told = {**deepseek_v2().config.to_dict(), "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
    return DeepseekV2ForCausalLM(DeepseekV2Config(**told))


@pytest.fixture(scope="module")
def engine(model: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SglangEngine]:
    folder: Path = tmp_path_factory.mktemp("deepseek")
    model.save_pretrained(folder)
    engine = SglangEngine(SglangOptions(max_total_tokens=4096, max_running_requests=4, chunked_prefill_size=64))
    engine.start(str(folder))
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def expected(model: PreTrainedModel) -> Tokens:
    return [greedy(model, prompt) for prompt in PROMPTS]


@torch.inference_mode()
def greedy(model: PreTrainedModel, prompt: tuple[int, ...]) -> tuple[int, ...]:
    row = torch.tensor([prompt])
    return tuple(model.generate(row, max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1)[0, len(prompt):].tolist())


@pytest.mark.parametrize("name", [None, *flows.LATENT])
def test_with_every_block_kept_the_tokens_are_those_of_transformers(engine: SglangEngine, expected: Tokens,
                                                                    name: str | None) -> None:
    """Chunked prefill; from the second flow on, prompts come from the prefix cache."""
    engine.use(None if name is None else built_in(name, engine.geometry(16)), EVERYTHING)
    found = completions(engine, ASKED)
    assert [completion.tokens for completion in found] == expected
    assert name is None or min(completion.cached_tokens for completion in found[1:]) >= len(SHARED) // 16 * 16


@pytest.mark.parametrize("name", flows.LATENT)
def test_blocks_that_are_chosen_are_the_references(engine: SglangEngine, name: str) -> None:
    graph = built_in(name, engine.geometry(16))
    engine.use(graph, TIGHT)
    with engine.record("qkv") as recording:
        tokens(engine, [Request(id="0", tokens=PROMPTS[1], max_new_tokens=4, ignore_eos=True)])
    assert len(recording.events) == 3 * 3
    for event in recording.events:
        asked = reference.Row(q=event["q"][0, 0], k=event["k"][0][0], v=event["v"][0][0], layer=event["layer"], head=0,
                              seed=event["seeds"][0])
        taken = event["lists"][0][0]
        assert_same_blocks(taken, reference.run(graph, TIGHT, asked))
        assert len(taken) == 2 + 1 + 2


def test_a_flow_for_keys_and_values_is_refused(engine: SglangEngine) -> None:
    with pytest.raises(EngineError, match="traced for"):
        engine.use(built_in("quest", Geometry(16, 80, 8)), EVERYTHING)
