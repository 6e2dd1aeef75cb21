"""Decode steps over SGLang's memory: what a flow in service selects and attends is what the reference says."""
import pytest
import torch

from tests.compiler.test_cpu import POINT, geometry_of
from tests.compiler.world import built_in
from tests.serving.sglang.pool import Pool
from vortex.config import OperatingPoint
from vortex.flows import names
from vortex.serving.layers import Layers
from vortex.serving.recording import Recorder
from vortex.serving.sglang.dense_rule import DenseRule, fixed_rule

LENS = [5, 95, 200, 333]


@pytest.mark.parametrize("name", names())
def test_lists_and_attention_are_the_references_over_steps(name: str) -> None:
    pool = Pool(built_in(name, geometry_of(name)), POINT, list(LENS))
    for _ in range(3):
        pool.grow()
        pool.check()


@pytest.mark.parametrize("name", ["quest", "running-average", "mla-centroid"])
def test_pages_of_several_blocks_serve_alike(name: str) -> None:
    pool = Pool(built_in(name, geometry_of(name)), POINT, list(LENS), page=4)
    for _ in range(18):
        pool.grow()
        pool.check()


def test_wiped_summaries_are_nan_and_rebuilt_ones_are_those_there_were() -> None:
    pool = Pool(built_in("quest", geometry_of("quest")), POINT, list(LENS))
    fields = pool.served.summaries.fields
    own = torch.cat([pool.step().batch.tables[row, :length // 16] for row, length in enumerate(pool.lens)])
    before = {name: tensor[:, own].clone() for name, tensor in fields[1].items()}
    pool.served.summaries.wipe()
    assert all(fields[1][name].isnan().all() for name in before)
    pool.served.rebuild(own)
    for name, tensor in before.items():
        torch.testing.assert_close(fields[1][name][:, own], tensor, rtol=0, atol=0)


def test_layers_that_reuse_attend_what_the_last_selecting_layer_chose_and_others_are_the_engines() -> None:
    pool = Pool(built_in("quest", geometry_of("quest")), POINT, list(LENS), layers=Layers(frozenset({0}), frozenset({2})))
    recorder = Recorder("selections")
    step = pool.step(recorder)
    assert [step.sparse(layer) for layer in range(4)] == [True, False, True, False]
    for layer in (0, 2):
        step.attend(layer, pool.query(), 1.0)
    first, second = recorder.recording.events
    assert first["lists"] == second["lists"] and (first["layer"], second["layer"]) == (0, 2)


def test_rows_that_fit_are_attended_without_lists_unless_the_rule_wants_them() -> None:
    whole = OperatingPoint(topk_ratio=1.0)
    graph, q = built_in("quest", geometry_of("quest")), torch.randn(4, 2, 2, 32)
    forced, free = Pool(graph, whole, list(LENS)), Pool(graph, whole, list(LENS), rule=DenseRule())
    torch.testing.assert_close(forced.step().attend(0, q, 0.2), free.step().attend(0, q, 0.2))
    free.served.summaries.wipe()          # nothing reads them
    assert free.step().attend(0, q, 0.2).isfinite().all()


def test_a_step_the_rule_calls_dense_has_no_sparse_layer_and_is_noted_whole() -> None:
    pool = Pool(built_in("quest", geometry_of("quest")), POINT, [40, 60], rule=fixed_rule(64))
    recorder = Recorder("selections")
    step = pool.step(recorder)
    assert step.dense and not step.sparse(0)
    step.note(0, pool.query())
    assert recorder.recording.events[0]["lists"] == [[[0, 1, 2]] * 2, [[0, 1, 2, 3]] * 2]
