"""Recordings hold what decode steps did: selections the reference confirms, mass that sums to one."""
import pytest
import torch

from tests.compiler.world import assert_same_blocks, built_in
from tests.serving.asks import SPARSE, answers, ask, prompt, use
from vortex.compiler import reference
from vortex.serving.embedded.engine import EmbeddedEngine

PROMPTS = [prompt(length, length) for length in (30, 200, 333)]


@pytest.mark.parametrize("flow", ["quest", "random", "oracle"])
def test_recorded_selections_are_the_references_on_the_recorded_keys(probe: EmbeddedEngine, flow: str) -> None:
    use(probe, flow)
    graph = built_in(flow, probe.geometry(16))
    with probe.record("qkv") as recording:
        answers(probe, ask(PROMPTS, tokens=3, seed=5))
    assert len(recording.events) == 2 * 4
    for event in recording.events:
        for row, lists in enumerate(event["lists"]):
            assert event["k"][row].shape == (2, event["lens"][row], 64)
            for head, taken in enumerate(lists):
                asked = reference.Row(q=event["q"][row, head], k=event["k"][row][head], v=event["v"][row][head],
                                      layer=event["layer"], head=head, seed=event["seeds"][row])
                assert_same_blocks(taken, reference.run(graph, SPARSE, asked))


def test_selections_of_a_dense_decode_are_all_blocks(probe: EmbeddedEngine) -> None:
    use(probe, None)
    with probe.record("selections") as recording:
        answers(probe, ask(PROMPTS, tokens=2))
    assert recording.events[0]["lists"] == [[list(range(-(-(len(p) + 1) // 16)))] * 2 for p in PROMPTS]
    assert recording.events[0]["requests"] == ["0", "1", "2"]


def test_mass_of_a_rows_blocks_sums_to_one(probe: EmbeddedEngine) -> None:
    use(probe, "quest")
    with probe.record("mass") as recording:
        answers(probe, ask(PROMPTS, tokens=2))
    for mass, length in zip(recording.events[0]["mass"], recording.events[0]["lens"], strict=True):
        assert mass.shape == (2, -(-length // 16))
        torch.testing.assert_close(mass.sum(dim=1), torch.ones(2))


def test_nothing_is_recorded_once_a_recording_is_closed(probe: EmbeddedEngine) -> None:
    use(probe, None)
    with probe.record("selections") as recording:
        pass
    answers(probe, ask(PROMPTS, tokens=2))
    assert recording.events == []
