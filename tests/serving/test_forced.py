"""Forced decode: times of the asked count, at the asked shape, on KV that dense and sparse share."""
import math

import pytest

from tests.serving.asks import SPARSE, answers, ask, prompt, use
from vortex.errors import EngineError
from vortex.serving.embedded.engine import EmbeddedEngine


@pytest.mark.parametrize("flow", [None, "centroid", "quest", "running-average"])
@pytest.mark.parametrize(("batch", "context", "steps"), [(1, 1, 2), (3, 200, 20), (2, 256, 70)])
def test_as_many_finite_times_as_steps(probe: EmbeddedEngine, flow: str | None, batch: int, context: int,
                                       steps: int) -> None:
    use(probe, flow)
    times = probe.forced_decode(batch, context, steps)
    assert (times.batch, times.context, len(times.seconds)) == (batch, context, steps)
    assert all(math.isfinite(second) and second > 0 for second in times.seconds)


def test_the_filled_context_is_kept_between_flows_and_let_go_with_its_shape(probe: EmbeddedEngine) -> None:
    contexts = []
    for flow in (None, "quest", None):
        use(probe, flow)
        probe.forced_decode(2, 300, 2)
        contexts.append(probe._forced)
    assert contexts[0] is contexts[1] is contexts[2]
    probe.forced_decode(2, 301, 2)
    assert probe._forced is not contexts[0]
    answers(probe, ask([prompt(20, 0)], tokens=2))
    assert probe._forced is None


def test_selection_works_on_summaries_of_the_filled_context(probe: EmbeddedEngine) -> None:
    use(probe, "quest")
    with probe.record("selections"):
        probe.forced_decode(2, 400, 1)
    forced = probe._forced
    assert forced is not None
    keys, high = forced.pool.k[0][:, 1:26], forced.pool.fields[0]["hi"][:, 1:26, 0]
    assert keys.amax(dim=2).equal(high) and keys.std() > 0.9


@pytest.mark.parametrize(("batch", "context", "steps"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_shape_of_nothing_is_refused(probe: EmbeddedEngine, batch: int, context: int, steps: int) -> None:
    use(probe, "quest", SPARSE)
    with pytest.raises(EngineError, match="cannot time"):
        probe.forced_decode(batch, context, steps)
