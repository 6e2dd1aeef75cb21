"""Static decode steps: the tokens of steps made anew, at every size of batch, whoever comes, leaves and shares."""
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from tests.serving.asks import SPARSE, ask, prompt, tokens, use
from tests.serving.fixed import FixedCpuProgram
from vortex.compiler.kernels.program import TritonProgram
from vortex.compiler.shapes import MODELS, ModelSizes
from vortex.config import OperatingPoint
from vortex.errors import EngineError, ModelError
from vortex.ir import Graph
from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.engine import EmbeddedEngine, Limits
from vortex.serving.embedded.graphed import Answer, CudaGraphs, Repeated, Work, graphs_of
from vortex.serving.embedded.random_model import random_model
from vortex.serving.embedded.steps import replayable, size_for, width_for
from vortex.serving.engine import Request

LENGTHS = (1, 14, 15, 16, 31, 100, 333, 200)
PROMPTS = [prompt(length, seed) for seed, length in enumerate(LENGTHS)]
TINY = ModelSizes(name="tiny", layers=3, hidden=24, intermediate=40, heads=2, kv_heads=1, head_dim=16, vocabulary=90)
MODES = SPARSE.with_(layer_modes=("dense", "select", "reuse", "select"))
CASES = [(None, SPARSE), ("quest", SPARSE), ("running-average", SPARSE), ("random", SPARSE), ("quest", MODES),
         ("running-average", MODES.with_(topk_layers=(0, (1, 40)))), ("twilight", SPARSE)]


class Captured:
    """Graphs as a GPU has them: the work is done once beforehand, and its answers stay where they are."""

    def __init__(self) -> None:
        self.captures = 0

    def capture(self, work: Work) -> Work:
        self.captures += 1
        kept = Answer(*(tensor.clone() for tensor in work()))

        def replay() -> Answer:
            for tensor, new in zip(kept, work(), strict=True):
                tensor.copy_(new)
            return kept

        return replay


class Made(list[FixedCpuProgram]):
    """All Programs that an engine asked for."""

    def __call__(self, graph: Graph, point: OperatingPoint) -> FixedCpuProgram:
        self.append(FixedCpuProgram(graph, point))
        return self[-1]


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def start(probe: EmbeddedEngine, made: Made) -> Iterator[Callable[..., EmbeddedEngine]]:
    """An engine of static steps on the probe's weights."""
    def started(**settings: object) -> EmbeddedEngine:
        engine = EmbeddedEngine("cpu", **{"graphs": Captured(), "compiler": made, **settings})  # type: ignore[arg-type]
        engine.start_with(probe._model.model, probe._model.shape)
        return engine
    yield started


def uneven(count: int = len(PROMPTS)) -> list[Request]:
    """They leave at different steps, and others take their places."""
    return [Request(id=str(i), tokens=p, max_new_tokens=2 + 5 * (i % 4), ignore_eos=True, seed=i,
                    temperature=1.2 if i % 3 == 2 else 0.0) for i, p in enumerate(PROMPTS[:count])]


@pytest.mark.parametrize(("flow", "point"), CASES)
@pytest.mark.parametrize("most", [3, 32])
def test_tokens_are_those_of_steps_made_anew(probe: EmbeddedEngine, start: Callable[..., EmbeddedEngine], made: Made,
                                             flow: str | None, point: OperatingPoint, most: int) -> None:
    engine = start(limits=Limits(max_batch=most))
    for each in (probe, engine):
        use(each, flow, point)
    # Twice: the second time everything is there already.
    assert tokens(engine, uneven()) == tokens(engine, uneven()) == tokens(probe, uneven())
    assert len(made) == 1 and len(made[0].prepared) == len(set(made[0].prepared)) > 1
    assert max(made[0].steps) == min(most, len(PROMPTS))


def test_blocks_used_again_and_prefixes_that_are_shared_change_nothing(probe: EmbeddedEngine,
                                                                       start: Callable[..., EmbeddedEngine]) -> None:
    engine = start(limits=Limits(max_batch=3, kv_bytes=3 << 20))
    requests = ask([prompt(100, 1) + prompt(n, n) for n in (30, 120, 200, 10, 64)], tokens=20)
    for flow in ("quest", "running-average", "quest"):
        for each in (probe, engine):
            use(each, flow)
        assert tokens(engine, requests) == tokens(probe, requests)


def test_a_larger_pool_is_captured_anew(probe: EmbeddedEngine, start: Callable[..., EmbeddedEngine]) -> None:
    graphs = Captured()
    engine = start(graphs=graphs)
    for each in (probe, engine):
        use(each, "quest")
    captures = []
    for length in (20, 300, 40):
        requests = ask([prompt(length, 3)] * 2, tokens=20)
        assert tokens(engine, requests) == tokens(probe, requests)
        captures.append(graphs.captures)
    assert captures == [1, 2, 2]


@pytest.mark.parametrize("change", [{"renew_every": 3}, {"renew_every": 2, "layer_modes": ("select", "reuse")}])
def test_lists_that_serve_several_steps_are_left_to_steps_made_anew(
        probe: EmbeddedEngine, start: Callable[..., EmbeddedEngine], made: Made, change: dict[str, object]) -> None:
    engine = start()
    for each in (probe, engine):
        use(each, "quest", SPARSE.with_(**change))
    assert tokens(engine, uneven()) == tokens(probe, uneven())
    assert made[0].prepared == []


def test_a_recording_is_that_of_steps_made_anew_and_changes_no_token(probe: EmbeddedEngine,
                                                                     start: Callable[..., EmbeddedEngine]) -> None:
    engine, events = start(), []
    for each in (probe, engine):
        use(each, "quest")
        with each.record("selections") as recording:
            events.append((tokens(each, uneven()), recording.events))
    assert events[0] == events[1] and len(events[0][1]) > 10
    assert tokens(engine, uneven()) == events[0][0]


@pytest.mark.parametrize("flow", ["random", "running-average"])
def test_short_contexts_are_dense_under_the_break_even_and_summarised_all_the_same(
        probe: EmbeddedEngine, start: Callable[..., EmbeddedEngine], made: Made, flow: str) -> None:
    use(probe, None)
    dense = tokens(probe, ask(PROMPTS[6:7], tokens=40))
    use(probe, flow)
    sparse = tokens(probe, ask(PROMPTS[6:7], tokens=40))
    found = {}
    for below in (0, 352, 1000):
        engine, anew = start(dense_below=below), start(dense_below=below, graphs=None)
        for each in (engine, anew):
            use(each, flow)
        found[below] = tokens(engine, ask(PROMPTS[6:7], tokens=40))
        assert found[below] == tokens(anew, ask(PROMPTS[6:7], tokens=40))
    assert (found[0], found[1000]) == (sparse, dense)
    # 18 of 39 steps are shorter than 352: from there on all four layers select, on summaries of dense steps too.
    assert made[2].selects == 4 * (1 + 39 - 18) and made[4].selects == 0
    assert found[352][0][:19] == dense[0][:19] and found[352] not in (dense, sparse)


@pytest.mark.parametrize("flow", [None, "quest", "running-average"])
@pytest.mark.parametrize(("batch", "context", "steps", "below"), [(1, 1, 3, 0), (3, 200, 20, 0), (11, 40, 30, 0),
                                                                  (2, 300, 20, 1000)])
def test_forced_decode_takes_static_steps_and_leaves_the_same_cache(
        start: Callable[..., EmbeddedEngine], made: Made, flow: str | None, batch: int, context: int, steps: int,
        below: int) -> None:
    graphs = Captured()
    engine, anew = start(graphs=graphs, dense_below=below), start(graphs=None, dense_below=below)
    for each in (engine, anew):
        use(each, flow)
        assert len(each.forced_decode(batch, context, steps).seconds) == steps
    assert graphs.captures == 1 and made[0].steps == [0] + [batch] * steps
    ours, theirs = (each._forced.pool for each in (engine, anew) if each._forced)
    for mine, right in ((ours.k, theirs.k), (ours.v, theirs.v)):
        for layer, (a, b) in enumerate(zip(mine, right, strict=True)):
            torch.testing.assert_close(a[:, 1:], b[:, 1:], rtol=1e-4, atol=1e-4, msg=f"layer {layer}")
    for mine, right in ((ours.fields, theirs.fields), (ours.state, theirs.state)):
        for a, b in zip(mine, right, strict=True):
            for name in a:
                torch.testing.assert_close(a[name][:, 1:], b[name][:, 1:], rtol=1e-4, atol=1e-4)


def test_a_duel_captures_each_side_once(start: Callable[..., EmbeddedEngine], made: Made) -> None:
    graphs = Captured()
    engine = start(graphs=graphs)
    for flow in (None, "quest", "centroid") * 3:
        use(engine, flow)
        engine.forced_decode(3, 200, 2)
    assert len(made) == graphs.captures == 3
    for flow in ("random", "recent", "oracle", "quest"):
        use(engine, flow)
        engine.forced_decode(3, 200, 2)
    assert len(made) == graphs.captures == 7, "the fifth flow takes the place of the one that was longest unused"
    engine.stop()
    assert not engine._steps and not engine._flows and engine._forced is None


def test_summaries_that_were_let_go_are_not_looked_for(probe: EmbeddedEngine, start: Callable[..., EmbeddedEngine],
                                                       made: Made) -> None:
    """The pool lets go of the flow that was longest unused, the engine of the one that was longest not asked for."""
    engine, requests = start(), ask([prompt(300, 3)] * 2, tokens=20)
    for flow in ("quest", "centroid", "recent", "random"):
        use(engine, flow)
        tokens(engine, requests)
    use(engine, "quest")
    for flow in ("arkvale", "quest"):
        for each in (engine, probe):
            use(each, flow)
        assert tokens(engine, requests) == tokens(probe, requests)
    assert len(made) == 5 and engine._pool is not None
    assert engine._steps[id(made[0])]._fields is engine._pool.fields


def test_a_model_that_has_no_tokenizer_says_so(start: Callable[..., EmbeddedEngine]) -> None:
    with pytest.raises(EngineError, match="no tokenizer"):
        _ = start().tokenizer


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_of_made_up_weights_is_of_the_sizes_that_rooflines_count(tied: bool) -> None:
    sizes = replace(TINY, tied=tied)
    model, shape = random_model(sizes, torch.device("cpu"))
    assert shape.sizes("tiny") == sizes
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16} and len({p.data_ptr() for p in model.parameters()}) > 20
    assert sum(p.numel() for p in model.parameters() if p.ndim == 2) == sizes.parameters


@pytest.mark.parametrize("name", ["glm-4.7-flash", "deepseek-v3"])
def test_weights_of_other_architectures_are_not_made_up(name: str) -> None:
    with pytest.raises(ModelError, match="plain layers"):
        random_model(MODELS[name], torch.device("cpu"))


@pytest.mark.parametrize(("requests", "most", "size"), [
    (1, 32, 1), (2, 32, 2), (3, 32, 4), (5, 32, 8), (8, 32, 8), (9, 32, 16), (17, 32, 24), (25, 32, 32), (3, 3, 3),
    (5, 6, 6), (9, 12, 12), (40, 32, 40), (128, 128, 128)])
def test_sizes_hold_all_and_are_few(requests: int, most: int, size: int) -> None:
    assert size_for(requests, most) == size >= requests


@pytest.mark.parametrize(("blocks", "width"), [(1, 64), (64, 64), (65, 128), (600, 640), (2048, 2048), (2053, 2560),
                                                (65536, 65536), (65537, 81920)])
def test_widths_hold_all_and_are_few(blocks: int, width: int) -> None:
    assert width_for(blocks) == width


@pytest.mark.parametrize(("lens", "slots", "completed"), [
    ([1, 16], [80, 127], [-1, 7]), ([17, 32], [144, 15], [-1, 0]), ([32, 31], [159, 14], [9, -1])])
def test_tokens_go_where_tables_say(lens: list[int], slots: list[int], completed: list[int]) -> None:
    batch = Batch(["a", "b"], [0, 1], [[5, 9], [7, 0]], [1, 1], torch.device("cpu"))
    assert (batch.slots(lens, 16), batch.completed(lens, 16)) == (slots, completed)


@pytest.mark.parametrize(("kind", "right"), [("default", True), ("llama3", True), ("yarn", True), ("longrope", False),
                                             ("dynamic", False)])
def test_rotary_embeddings_that_look_at_positions_are_not_captured(probe: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch,
                                                                   kind: str, right: bool) -> None:
    model = probe._model.model
    monkeypatch.setitem(model.config.rope_parameters, "rope_type", kind)
    assert replayable(model) is right


def test_a_cpu_makes_its_steps_anew() -> None:
    assert graphs_of(torch.device("cpu")) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the GPU")
def test_kernels_decode_the_same_tokens_in_static_steps() -> None:
    """Two requests of which one completes a block, whose rows fit, and leaves; on a model of made-up weights."""
    model = random_model(TINY, torch.device("cpu"), torch.float32)
    requests = [Request(id=str(n), tokens=tuple(t % 90 for t in prompt(n, n)), max_new_tokens=2 + n // 50, ignore_eos=True,
                        seed=(1 << 64) - n) for n in (31, 68)]
    found = []
    engines = (EmbeddedEngine("cpu"),
               EmbeddedEngine("cpu", graphs=Repeated(), compiler=lambda graph, point: TritonProgram(graph, point, "cpu")))
    for engine in engines:
        engine.start_with(*model)
        use(engine, "running-average", SPARSE.with_(block_reserved_eos=1, topk_val=1, layer_modes=("select", "reuse", "dense")))
        found.append(tokens(engine, requests))
    assert found[0] == found[1]
    assert [*engines[1]._steps[id(engines[1]._flow.program)]._sized] == [2, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_graph_gives_the_tokens_of_calls() -> None:
    found = []
    for graphs in (Repeated(), CudaGraphs(torch.device("cuda"))):
        engine = EmbeddedEngine("cuda", graphs=graphs)
        engine.start("probe")
        for flow in (None, "quest", "running-average"):
            use(engine, flow)
            found.append(tokens(engine, uneven()))
    assert found[:3] == found[3:]
