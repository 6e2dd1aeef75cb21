"""Requests with made-up prompts, and what transformers' own generate answers to them."""
import random
from collections.abc import Mapping, Sequence

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from tests.compiler.world import built_in
from vortex.config import OperatingPoint
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Completion, Request

SPARSE = OperatingPoint(topk_val=2, topk_ratio=0.125)
FULL = OperatingPoint(topk_ratio=1.0)


def prompt(length: int, seed: int) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randrange(3, 700) for _ in range(length))


def ask(prompts: Sequence[tuple[int, ...]], tokens: int = 24, **settings: object) -> list[Request]:
    fixed = {"max_new_tokens": tokens, "ignore_eos": True, **settings}
    return [Request(id=str(i), tokens=p, **fixed) for i, p in enumerate(prompts)]  # type: ignore[arg-type]  # by name


def use(engine: EmbeddedEngine, flow: str | None, point: OperatingPoint = SPARSE) -> None:
    engine.use(None if flow is None else built_in(flow, engine.geometry(point.block_size)), point)


def answers(engine: EmbeddedEngine, requests: Sequence[Request]) -> Mapping[str, Completion]:
    found = {completion.id: completion for completion in engine.generate(requests)}
    assert set(found) == {request.id for request in requests}
    return found


def tokens(engine: EmbeddedEngine, requests: Sequence[Request]) -> list[tuple[int, ...]]:
    found = answers(engine, requests)
    return [found[request.id].tokens for request in requests]


def transformers_tokens(path: str, prompts: Sequence[tuple[int, ...]], count: int) -> list[tuple[int, ...]]:
    """Each prompt alone, greedily, through transformers' own cache and generate."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    greedy = GenerationConfig(do_sample=False, max_new_tokens=count, pad_token_id=0)
    model.generation_config = greedy
    return [tuple(model.generate(torch.tensor([p]), generation_config=greedy)[0, len(p):].tolist()) for p in prompts]
