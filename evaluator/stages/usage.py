"""On the worker: what of its budget a flow attends to, recorded in a few steps that no clock sees."""
from collections.abc import Mapping, Sequence
from typing import Any

from vortex.budget import attended, num_blocks
from vortex.config import OperatingPoint
from vortex.serving.engine import Completion, Engine, Request

STEPS = 2


def where_timed(engine: Engine, point: OperatingPoint, batch: int, context: int) -> Mapping[str, int]:
    """Of a forced step; the engine uses the flow already."""
    with engine.record("selections") as recording:
        engine.forced_decode(batch, context, 1)
    return used(recording.events, point)


def where_it_answers(engine: Engine, point: OperatingPoint, request: Request, said: Completion) -> Mapping[str, int]:
    """Of the last steps of an answer, said once more."""
    again = min(STEPS + 1, len(said.tokens))
    left = Request(id="used", tokens=(*request.tokens, *said.tokens[:-again]), max_new_tokens=again, seed=request.seed,
                   ignore_eos=True)
    with engine.record("selections") as recording:
        for _ in engine.generate([left]):
            pass
    return used(recording.events, point)


def used(events: Sequence[Mapping[str, Any]], point: OperatingPoint) -> Mapping[str, int]:
    """Blocks that rows of the selecting layers attended, and those that the point allows them. Steps that the engine made
    dense by a rule of its own say nothing."""
    taken = allowed = 0
    for event in events:
        if event["dense"] or point.mode(event["layer"]) != "select":
            continue
        for length, heads in zip(event["lens"], event["lists"], strict=True):
            taken += sum(map(len, heads))
            blocks = num_blocks(length, point.block_size)
            allowed += sum(attended(blocks, point, event["layer"], head) for head in range(len(heads)))
    return {"taken": taken, "allowed": allowed} if allowed else {}
