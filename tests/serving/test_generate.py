"""What the embedded engine generates: transformers' tokens where all blocks are kept, the same tokens however batched."""
from pathlib import Path

import pytest

from tests.serving.asks import FULL, SPARSE, answers, ask, prompt, tokens, transformers_tokens, use
from tests.serving.llama import write_llama
from vortex.config import OperatingPoint
from vortex.serving.checkpoint import locate
from vortex.serving.embedded.engine import EmbeddedEngine, Limits
from vortex.serving.engine import Request

LENGTHS = (1, 5, 16, 17, 100, 333, 333, 512)
PROMPTS = [prompt(length, seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def own_words() -> list[tuple[int, ...]]:
    return transformers_tokens(locate("probe"), PROMPTS, 24)


@pytest.mark.parametrize("flow", [None, "dense", "quest", "running-average"])
def test_tokens_are_those_of_transformers_when_every_block_is_kept(
        probe: EmbeddedEngine, own_words: list[tuple[int, ...]], flow: str | None) -> None:
    use(probe, flow, FULL)
    assert tokens(probe, ask(PROMPTS)) == own_words


def test_a_llama_type_checkpoint_from_a_folder_is_served_as_transformers_does(tmp_path: Path) -> None:
    path = write_llama(tmp_path)
    engine = EmbeddedEngine(device="cpu")
    engine.start(path)
    use(engine, "centroid", FULL.with_(block_size=32))
    assert tokens(engine, ask(PROMPTS[:6])) == transformers_tokens(path, PROMPTS[:6], 24)
    use(engine, "centroid", SPARSE)
    assert tokens(engine, ask(PROMPTS[4:6])) != transformers_tokens(path, PROMPTS[4:6], 24)


@pytest.mark.parametrize("flow", [None, "quest", "running-average", "random"])
def test_tokens_do_not_depend_on_the_company(probe: EmbeddedEngine, flow: str | None) -> None:
    use(probe, flow)
    together = tokens(probe, ask(PROMPTS))
    alone = [tokens(probe, [request])[0] for request in ask(PROMPTS)]
    assert together == alone


def test_layers_that_are_skipped_attend_densely(probe: EmbeddedEngine) -> None:
    use(probe, None, FULL)
    dense = tokens(probe, ask(PROMPTS))
    use(probe, "random", SPARSE.with_(layers_skip=(0, 1, 2, 3)))
    assert tokens(probe, ask(PROMPTS)) == dense


def test_a_flow_is_swapped_without_loading_weights_again(probe: EmbeddedEngine) -> None:
    weights = probe._model.model
    use(probe, None, FULL)
    dense = tokens(probe, ask(PROMPTS))
    use(probe, "recent")
    assert tokens(probe, ask(PROMPTS)) != dense
    use(probe, None, OperatingPoint(block_size=32))
    assert tokens(probe, ask(PROMPTS)) == dense
    assert probe._model.model is weights


@pytest.mark.parametrize("flow", [None, "quest"])
def test_shared_blocks_give_the_same_tokens(probe: EmbeddedEngine, flow: str | None) -> None:
    head = prompt(200, 50)
    prompts = [head + prompt(n, 60 + n) for n in (3, 3, 40)] + [head, head[:100]]
    use(probe, flow)
    found = answers(probe, ask(prompts))
    assert [found[str(i)].cached_tokens for i in range(5)] == [0, 192, 192, 192, 96]
    alone = [answers(probe, [request])[request.id] for request in ask(prompts)]
    assert [a.tokens for a in alone] == [found[str(i)].tokens for i in range(5)]
    assert not any(a.cached_tokens for a in alone)


def test_nothing_is_shared_by_a_flow_with_state(probe: EmbeddedEngine) -> None:
    use(probe, "running-average")
    found = answers(probe, ask([prompt(200, 50)] * 3))
    assert not any(c.cached_tokens for c in found.values())
    assert len({c.tokens for c in found.values()}) == 1


@pytest.mark.parametrize("flow", ["quest", "running-average"])
def test_blocks_used_again_and_prefixes_let_go_change_nothing(probe: EmbeddedEngine, flow: str) -> None:
    prompts = [prompt(100, 1) + prompt(n, n) for n in (30, 120, 200, 10, 64, 230, 5, 90)]
    small = EmbeddedEngine(device="cpu", limits=Limits(max_batch=3, prefill_tokens=256, kv_bytes=3 << 20))
    small.start("probe")
    for engine in (small, probe):
        use(engine, flow)
    assert tokens(small, ask(prompts)) == tokens(probe, ask(prompts))


def test_drawn_tokens_follow_the_requests_seed_alone(probe: EmbeddedEngine) -> None:
    use(probe, "quest")
    settings = {"temperature": 1.5, "top_p": 0.95, "top_k": 50}
    drawn = [Request(id=str(i), tokens=PROMPTS[5], max_new_tokens=24, ignore_eos=True, seed=seed, **settings)
             for i, seed in enumerate((7, 8, 7))]
    first, other, again = tokens(probe, drawn)
    assert first == again != other
    assert tokens(probe, [*ask(PROMPTS[:0]), drawn[0]]) == [first]
    mates = [Request(id=f"mate{i}", tokens=p, max_new_tokens=9, ignore_eos=True) for i, p in enumerate(PROMPTS)]
    assert answers(probe, [*mates, drawn[0]])["0"].tokens == first


@pytest.mark.parametrize(("stop", "ignore", "finish"), [("own", False, "stop"), (None, False, "length"),
                                                        ("own", True, "length")])
def test_a_request_ends_with_its_stop_token(probe: EmbeddedEngine, stop: str | None, ignore: bool, finish: str) -> None:
    use(probe, None)
    whole = tokens(probe, ask(PROMPTS[5:6]))[0]
    other = next(token for token in whole if token != whole[0])
    ids = (other,) if stop else ()
    done = answers(probe, ask(PROMPTS[5:6], stop=ids, ignore_eos=ignore))["0"]
    assert done.finish == finish
    assert done.tokens == (whole[:whole.index(other) + 1] if finish == "stop" else whole)
    assert done.prefill_s > 0 and done.decode_s > 0


def test_the_models_own_end_token_ends_a_request(probe: EmbeddedEngine) -> None:
    assert probe._model.stop_tokens == (2,)


def test_requests_are_admitted_up_to_the_largest_batch(probe: EmbeddedEngine) -> None:
    engine = EmbeddedEngine(device="cpu", limits=Limits(max_batch=2))
    engine.start("probe")
    use(engine, None)
    with engine.record("selections") as recording:
        answers(engine, ask(PROMPTS, tokens=4))
    assert {len(event["requests"]) for event in recording.events} <= {1, 2}



@pytest.mark.parametrize("flow", [None, "quest", "running-average"])
def test_a_prompt_prefilled_for_another_flow_gives_the_same_tokens(probe: EmbeddedEngine, flow: str | None) -> None:
    forgetful = EmbeddedEngine(device="cpu", limits=Limits(prompt_bytes=0))
    forgetful.start("probe")
    use(forgetful, flow)
    use(probe, "recent")
    tokens(probe, ask(PROMPTS))
    use(probe, flow)
    assert tokens(probe, ask(PROMPTS)) == tokens(forgetful, ask(PROMPTS))
    assert forgetful._prompts.num_bytes == 0 < probe._prompts.num_bytes <= Limits().prompt_bytes
