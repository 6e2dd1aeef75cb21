"""What the tests ask of a running SGLang: a mixed batch, and what SGLang's own backend answers to it."""
import json
import os
import random
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.compiler.world import built_in
from tests.sglang.models import VOCABULARY
from vortex.config import OperatingPoint
from vortex.serving.engine import Completion, Request
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.python import find_python

TOKENS = 48
PLAIN = Path(__file__).parent / "plain.py"
Tokens = list[tuple[int, ...]]
# Every block is kept, and chosen all the same.
WHOLE = OperatingPoint(engine="sglang", topk_ratio=1.0, dense_below="never")
TIGHT = OperatingPoint(engine="sglang", topk_val=2, topk_ratio=0.0, dense_below="never")


def words(count: int, seed: int) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randrange(3, VOCABULARY) for _ in range(count))


SHARED = words(200, 0)
# One block, its edges, a prompt that chunks cut, and three that share a prefix of 12 blocks and a half.
PROMPTS = [words(1, 1), words(15, 2), words(17, 3), words(150, 4), SHARED + words(30, 5), SHARED + words(77, 6), SHARED]
GREEDY = [Request(id=str(row), tokens=prompt, max_new_tokens=TOKENS, ignore_eos=True) for row, prompt in enumerate(PROMPTS)]
# One of them greedy in the midst of draws.
SEEDED = [replace(request, temperature=temperature, top_p=0.9, seed=row * 1000 - 3)
          for row, (request, temperature) in enumerate(zip(GREEDY, [0.7, 1.0, 0.8, 0.0, 1.3, 0.7, 1.0], strict=True))]


def plain_tokens(model: str, batches: Sequence[Sequence[Request]], folder: Path) -> list[Tokens]:
    """Of each batch, by SGLang with its own attention."""
    job, answers = folder / "job.json", folder / "answers.json"
    job.write_text(json.dumps({"model": model, "batches": [list(map(_asked, batch)) for batch in batches], "engine": {
        "max_total_tokens": 8192, "max_running_requests": 8, "page_size": 16, "enable_deterministic_inference": True}}))
    done = subprocess.run([find_python().path, str(PLAIN), str(job), str(answers)], env={**os.environ, **cpu_environment()},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [[tuple(tokens) for tokens in batch] for batch in json.loads(answers.read_text())]


def _asked(request: Request) -> dict[str, object]:
    return {"input_ids": request.tokens, "sampling_params": {
        "max_new_tokens": request.max_new_tokens, "temperature": request.temperature, "top_p": request.top_p,
        "top_k": request.top_k or -1, "sampling_seed": request.seed, "ignore_eos": request.ignore_eos}}


def use(engine: SglangEngine, flow: str | None, point: OperatingPoint) -> None:
    engine.use(None if flow is None else built_in(flow, engine.geometry(point.block_size)), point)


def completions(engine: SglangEngine, requests: Sequence[Request]) -> list[Completion]:
    """In the order of the requests."""
    found = {completion.id: completion for completion in engine.generate(requests)}
    return [found[request.id] for request in requests]


def tokens(engine: SglangEngine, requests: Sequence[Request]) -> Tokens:
    return [completion.tokens for completion in completions(engine, requests)]


def use_whole(engine: SglangEngine, flow: str | None) -> None:
    """Every block kept; nothing cached."""
    use(engine, flow, WHOLE)
    engine.ask({"do": "flush"})


def check_greedy(engine: SglangEngine, wanted: Tokens, *, sparse: bool, shared: bool) -> None:
    """GREEDY has the tokens wanted, and once more with what the first time left in the prefix cache; `sparse`: every step
    chose blocks, and all of them."""
    before = engine.ask({"do": "counters"})[0]
    assert tokens(engine, GREEDY) == wanted
    again = completions(engine, GREEDY)
    assert [one.tokens for one in again] == wanted
    pages = [(len(asked.tokens) - 1) // 16 * 16 for asked in GREEDY]      # the last token is always prefilled
    assert [one.cached_tokens for one in again] == (pages if shared else [0] * len(pages))
    after = engine.ask({"do": "counters"})[0]
    steps, dense, chosen, possible = (after[name] - before[name] for name in (
        "steps", "dense_steps", "selected_blocks", "possible_blocks"))
    assert not dense and chosen == possible
    assert (steps >= 2 * TOKENS - 2 and possible > 100 * steps) if sparse else possible == 0
