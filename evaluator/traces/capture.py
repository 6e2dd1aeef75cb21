"""Captures dense decoding: what was said, and the late queries, keys and values behind it.

Queries are those of decode steps in the midst of an answer, after the rotary embedding: selection serves such, not the
queries of a prompt. Letters of shapes: P captured steps, L layers, H kv heads, G query heads a kv head, D channels, T
tokens up to the last captured step, V words of the vocabulary.
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluator.traces.prompts import Prompt, Steps
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.serving.engine import Engine, Path, Replays, Request

LEAST_TOKENS = 3                          # a path of fewer has no decode step that predicts one of its tokens


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One dense run. q [P, L, H, G, D]; k, v [L, H, T, D]; `lens` tokens attended at each captured step, its own included.

    `log_probs` float32 [len(forced) - 1, V]: row i follows forced[i]; None where the engine cannot replay.
    """

    id: str
    path: Path
    lens: tuple[int, ...]
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    log_probs: torch.Tensor | None = None

    @property
    def layers(self) -> int:
        return self.k.shape[0]

    @property
    def kv_heads(self) -> int:
        return self.k.shape[1]


def capture(engine: Engine, point: OperatingPoint, prompts: Sequence[Prompt], steps: Steps = 3) -> Iterator[Trajectory]:
    """A trajectory for each prompt whose answer is long enough, at `steps` places spread evenly over the answer.

    Leaves the engine decoding densely at `point`. Raises EngineError for prompts that cannot be served.
    """
    engine.use(None, point)
    for prompt in prompts:
        path = _said(engine, prompt)
        if len(path.forced) >= LEAST_TOKENS:
            yield _trajectory(engine, prompt.id, path, places(len(path.forced), steps))


def places(tokens: int, steps: Steps) -> tuple[int, ...]:
    """Which decode steps of an answer of `tokens` are captured, ascending: step i feeds token i. The last feeds none."""
    last = tokens - 2
    if steps == "every" or steps > last:
        return tuple(range(last + 1))
    return tuple(dict.fromkeys(round((i + 1) * last / steps) for i in range(steps)))


def _said(engine: Engine, prompt: Prompt) -> Path:
    tokens = tuple(engine.tokenizer.encode(prompt.text))
    asked = Request(id=prompt.id, tokens=tokens, max_new_tokens=prompt.max_new_tokens)
    return Path(prompt=tokens, forced=next(iter(engine.generate([asked]))).tokens)


def _trajectory(engine: Engine, name: str, path: Path, steps: Sequence[int]) -> Trajectory:
    events = [_step(engine, path, step) for step in steps]
    last = events[-1]
    logits = engine.replay([path])[0] if isinstance(engine, Replays) else None
    return Trajectory(
        id=name, path=path, lens=tuple(event[0]["lens"][0] for event in events),
        q=torch.stack([torch.stack([layer["q"][0].float().cpu() for layer in event]) for event in events]),
        k=torch.stack([layer["k"][0].float().cpu() for layer in last]).contiguous(),
        v=torch.stack([layer["v"][0].float().cpu() for layer in last]).contiguous(),
        log_probs=None if logits is None else torch.log_softmax(logits, dim=-1),
    )


def _step(engine: Engine, path: Path, step: int) -> list[dict[str, Any]]:
    """The events, by layer, of the decode step that feeds forced[step]."""
    asked = Request(id="step", tokens=path.prompt + path.forced[:step], max_new_tokens=2, ignore_eos=True)
    with engine.record("qkv") as recording:
        list(engine.generate([asked]))
    events = sorted(recording.events, key=lambda event: int(event["layer"]))
    if [event["layer"] for event in events] != list(range(len(events))) or not events:
        raise EngineError(f"the engine recorded layers {[event['layer'] for event in events]}",
                          hint="Traces need every layer once a decode step, of an engine that is not split over several GPUs.")
    return events

