"""With a tight budget, what the scheduler's process logs at every step, layer and head is what select_blocks says."""
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch

from tests.compiler.world import assert_same_blocks, built_in
from tests.sglang.asks import PROMPTS, TIGHT, tokens, use
from vortex import select_blocks
from vortex.compiler import reference
from vortex.compiler.selection import rules
from vortex.serving.engine import Request
from vortex.serving.sglang.engine import SglangEngine
from vortex.serving.sglang.options import SglangOptions

STEPS = 4
ASKED = [Request(id=f"asked {row}", tokens=prompt, max_new_tokens=STEPS + 1, ignore_eos=True, seed=7 * row - 9)
         for row, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def engine(models: Callable[[str], str]) -> Iterator[SglangEngine]:
    engine = SglangEngine(SglangOptions(max_total_tokens=4096, max_running_requests=8, chunked_prefill_size=64))
    engine.start(models("qwen3"))
    yield engine
    engine.stop()


def logged(engine: SglangEngine, flow: str) -> list[dict[str, Any]]:
    """Events of ASKED: every request's every step in every layer."""
    use(engine, flow, TIGHT)
    with engine.record("qkv") as recording:
        tokens(engine, ASKED)
    seen = [(name, length, event["layer"]) for event in recording.events
            for name, length in zip(event["requests"], event["lens"], strict=True)]
    assert sorted(seen) == sorted((asked.id, len(asked.tokens) + step + 1, layer) for asked in ASKED for step in range(STEPS)
                                  for layer in range(3))
    for event in recording.events:
        assert event["seeds"] == [next(asked.seed for asked in ASKED if asked.id == name) for name in event["requests"]]
    return recording.events


@pytest.mark.parametrize("flow", ["quest", "lserve", "value-energy", "random", "twilight"])
def test_selections_are_those_of_select_blocks(engine: SglangEngine, flow: str) -> None:
    graph = built_in(flow, engine.geometry(16))
    for event in logged(engine, flow):
        own = [[tensor.transpose(0, 1) for tensor in event[name]] for name in "kv"]
        found = select_blocks(graph, event["q"].flatten(1, 2), *own, TIGHT, layer=event["layer"], seeds=event["seeds"])
        assert event["lists"] == found.blocks


@pytest.mark.parametrize("flow", ["running-average", "h2o"])
def test_selections_of_flows_with_state_are_the_references_from_step_to_step(engine: SglangEngine, flow: str) -> None:
    graph = built_in(flow, engine.geometry(16))
    last: dict[tuple[str, int, int], reference.Outcome] = {}
    for event in logged(engine, flow):
        for row, name in enumerate(event["requests"]):
            for head, taken in enumerate(event["lists"][row]):
                key = name, event["layer"], head
                before = last.get(key)
                last[key] = reference.run(graph, TIGHT, row_of(event, row, head), before.state if before else None, last=before)
                assert_same_blocks(taken, last[key], rules(graph))


def row_of(event: Mapping[str, Any], row: int, head: int) -> reference.Row:
    k, v = event["k"][row][head], event["v"][row][head]
    return reference.Row(q=event["q"][row, head], k=k, v=v, layer=event["layer"], head=head, seed=event["seeds"][row])


def test_mass_of_a_rows_blocks_sums_to_one(engine: SglangEngine) -> None:
    use(engine, "quest", TIGHT)
    with engine.record("mass") as recording:
        tokens(engine, ASKED[3:5])
    assert recording.events
    for event in recording.events:
        for mass in event["mass"]:
            torch.testing.assert_close(mass.sum(dim=1), torch.ones(2))
