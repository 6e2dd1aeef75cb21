"""How a stage's problems are put to an engine, on the worker: fixed chunks of answers, each timed while the engine works."""
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

from evaluator.stage import Answered, Problem
from evaluator.stages.usage import where_it_answers
from vortex.config import OperatingPoint
from vortex.serving.engine import Completion, Engine, Request, Tokenizer

_TOLD = ("prompt", "seed", "caps")               # of what is asked, not settings of a request


def served(engine: Engine, problems: Sequence[Problem], done: Collection[tuple[str, int]], size: int,
           point: OperatingPoint | None = None) -> Generator[Answered, None, None]:
    """`size` answers at a time, the repeats of a problem side by side.

    A chunk that was begun is run again whole and only what is missing is yielded, so tokens do not depend on where an
    earlier run was cut off. With the `point` of a flow the last of them tells what was `used` of its budget, see usage.py.
    """
    asked = [(problem, repeat) for problem in problems for repeat in range(problem.repeats)]
    for chunk in (asked[first:first + size] for first in range(0, len(asked), size)):
        known = {_key(problem, repeat): (problem, repeat) for problem, repeat in chunk}
        missing = {key for key, (problem, repeat) in known.items() if (problem.id, repeat) not in done}
        if missing:
            requests = {key: _request(key, *one, engine.tokenizer) for key, one in known.items()}
            said, last = [], None
            for completion, device_s in _timed(engine.generate(list(requests.values()))):
                said.append(completion)
                if completion.id in missing:
                    if last is not None:
                        yield last
                    last = _answered(completion, known[completion.id], engine.tokenizer, device_s)
            if last is not None:
                yield last if point is None else _with_usage(last, engine, point, requests, said)


def _with_usage(last: Answered, engine: Engine, point: OperatingPoint, requests: Mapping[str, Request],
                said: Sequence[Completion]) -> Answered:
    """That of the longest text; the first token of an answer is no decode step's."""
    longest = max(said, key=lambda one: (len(requests[one.id].tokens) + len(one.tokens), one.id))
    found = where_it_answers(engine, point, requests[longest.id], longest) if len(longest.tokens) > 1 else {}
    return replace(last, data={**last.data, "used": found}) if found else last


def _timed(completions: Iterable[Completion]) -> Iterator[tuple[Completion, float]]:
    """Each with the seconds that the engine worked since the one before; over a chunk they add up to all of its time."""
    source = iter(completions)
    while True:
        began = time.perf_counter()
        completion = next(source, None)
        if completion is None:
            return
        yield completion, time.perf_counter() - began


def _key(problem: Problem, repeat: int) -> str:
    return f"{problem.id}#{repeat}" if repeat else problem.id


def _request(key: str, problem: Problem, repeat: int, tokenizer: Tokenizer) -> Request:
    settings = {name: value for name, value in problem.ask.items() if name not in _TOLD}
    seed = crc32(f"{problem.ask.get('seed', '')}{key}".encode())
    return Request(id=key, tokens=tuple(tokenizer.encode(problem.ask["prompt"])), seed=seed, **settings)


def _answered(completion: Completion, asked: tuple[Problem, int], tokenizer: Tokenizer, device_s: float) -> Answered:
    problem, repeat = asked
    data = {"text": tokenizer.decode(completion.tokens), "tokens": len(completion.tokens), "finish": completion.finish,
            "prefill_s": completion.prefill_s, "decode_s": completion.decode_s, "device_s": device_s,
            **_cuts(completion.tokens, problem.ask, tokenizer)}
    return Answered(problem=problem.id, repeat=repeat, seconds=completion.prefill_s + completion.decode_s, data=data)


def _cuts(tokens: Sequence[int], ask: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, dict[str, int]]:
    """How many characters were said within each lower limit that the answer went past."""
    cuts = {str(cap): len(tokenizer.decode(tokens[:cap])) for cap in ask.get("caps", ()) if cap < len(tokens)}
    return {"cuts": cuts} if cuts else {}
