"""Leading the model along known tokens: dense logits where every block is kept, and what a flow changes where not."""
import pytest
import torch

from tests.serving.asks import FULL, SPARSE, ask, prompt, tokens, use
from vortex.errors import EngineError
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Path, Replays

PROMPTS = [prompt(length, length) for length in (60, 200, 333)]


def paths(probe: EmbeddedEngine, count: int = 20) -> list[Path]:
    use(probe, None)
    said = tokens(probe, ask(PROMPTS, tokens=count))
    return [Path(prompt=asked, forced=own) for asked, own in zip(PROMPTS, said, strict=True)]


def test_the_likeliest_tokens_along_a_greedy_path_are_the_path(probe: EmbeddedEngine) -> None:
    assert isinstance(probe, Replays)
    for path, logits in zip(led := paths(probe), probe.replay(led), strict=True):
        assert logits.shape == (len(path.forced) - 1, 736)
        assert logits.argmax(dim=-1).tolist() == list(path.forced[1:])


@pytest.mark.parametrize("flow", ["quest", "random", "running-average"])
def test_a_flow_that_keeps_every_block_says_what_dense_decoding_says(probe: EmbeddedEngine, flow: str) -> None:
    led = paths(probe)
    dense = probe.replay(led)
    use(probe, flow, FULL)
    for own, wanted in zip(probe.replay(led), dense, strict=True):
        torch.testing.assert_close(own, wanted, atol=1e-4, rtol=1e-4)


def test_a_flow_that_leaves_blocks_out_says_something_else(probe: EmbeddedEngine) -> None:
    led = paths(probe)
    dense = probe.replay(led)
    use(probe, "random", SPARSE)
    apart = [float((own - wanted).abs().max()) for own, wanted in zip(probe.replay(led), dense, strict=True)]
    assert apart[0] < 1e-4 < 0.1 < min(apart[1:])           # the first prompt fits its budget: 5 blocks


def test_wrong_tokens_are_followed_as_well(probe: EmbeddedEngine) -> None:
    use(probe, None)
    forced = (5, 6, 7, 8)
    logits = probe.replay([Path(prompt=PROMPTS[0], forced=forced)])[0]
    for step in range(1, len(forced)):
        (said,) = tokens(probe, ask([PROMPTS[0] + forced[:step]], tokens=1))
        assert int(logits[step - 1].argmax()) == said[0]


def test_a_path_without_a_decode_step_is_refused(probe: EmbeddedEngine) -> None:
    use(probe, None)
    with pytest.raises(EngineError, match="fewer than two tokens"):
        probe.replay([Path(prompt=PROMPTS[0], forced=(5,))])
    assert probe.replay([]) == []
