"""Which models the plug-in takes over, and which of their layers."""
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.sglang.facts import model
from vortex.errors import EngineError, ModelError
from vortex.serving.checkpoint import SERVED
from vortex.serving.layers import Layers
from vortex.serving.sglang.models import attending, check_model

layers = st.frozensets(st.integers(0, 7))


@pytest.mark.parametrize("kind", SERVED["sglang"])
def test_models_of_plain_softmax_are_taken_over(kind: str) -> None:
    check_model(model(kind=kind))


@pytest.mark.parametrize(("more", "what"), [
    ({"kind": "gemma2"}, "of type 'gemma2'"), ({"kind": "gpt_oss"}, "of type 'gpt_oss'"), ({"window": 4096}, "window of 4096"),
    ({"encoder_decoder": True}, "has an encoder"), ({"generates": False}, "does not generate"),
    ({"indexed": True, "kind": "deepseek_v3"}, "a sparse attention of its own"),
])
def test_other_models_are_refused(more: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        check_model(model(**more))
    assert caught.value.hint


@given(select=layers, reuse=layers, full=layers)
def test_layers_that_attend_in_full_keep_what_they_do_and_others_do_nothing(select: frozenset[int], reuse: frozenset[int],
                                                                            full: frozenset[int]) -> None:
    reuse = reuse - select
    try:
        left = attending(Layers(select=select, reuse=reuse), full)
    except EngineError:
        first = min(reuse & full)
        assert not any(layer < first for layer in select & full)
        return
    assert (left.select, left.reuse) == (select & full, reuse & full)
    assert not left.reuse or min(left.select) < min(left.reuse)


def test_every_layer_of_most_models_attends_in_full() -> None:
    every = Layers(select=frozenset({0, 1, 3}), reuse=frozenset({2}))
    assert attending(every, range(4)) == every
