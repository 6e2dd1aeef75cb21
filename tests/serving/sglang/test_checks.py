"""What a server is not started with, setting by setting."""
from types import SimpleNamespace

import pytest

from tests.compiler.world import built_in
from tests.serving.sglang.facts import LATENT, SHAPE, view
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Geometry, Graph
from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.checks import KV_DTYPES, RULES, check_flow, check_graphs, check_settings, check_state, page_size

POINT = OperatingPoint(model="m", engine="sglang")
QUEST = built_in("quest", SHAPE.geometry(16))
WRONG = {"speculative_algorithm": "EAGLE", "prefill_attention_backend": "fa3", "decode_attention_backend": "vortex",
         "dllm_algorithm": "LowConfidence", "cuda_graph_backend_prefill": "full",
         "attn_cp_size": 2, "dcp_size": 2, "pp_size": 2, "kv_cache_dtype": "fp4_e2m1"}


@pytest.mark.parametrize("name", [rule[0] for rule in RULES])
def test_a_setting_that_is_in_the_way_is_named_as_the_command_line_names_it(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_settings(view(**{name: WRONG.get(name, True)}))
    assert "--" + name.replace("_", "-") in caught.value.message and caught.value.hint


@pytest.mark.parametrize("dtype", KV_DTYPES)
def test_settings_that_change_nothing_here_pass(dtype: str) -> None:
    check_settings(view(kv_cache_dtype=dtype, enable_lora=True, enable_mixed_chunk=False, tp_size=8))


@pytest.mark.parametrize(("prefill", "decode", "what"), [
    ("breakable", "full", ""), ("disabled", "disabled", ""), ("full", "full", "prefill.backend=full"),
    ("disabled", "breakable", "decode.backend=breakable")])
def test_graphs_are_judged_by_what_sglang_decided(prefill: str, decode: str, what: str) -> None:
    decided = view(cuda_graph_config=SimpleNamespace(prefill=SimpleNamespace(backend=prefill),
                                                     decode=SimpleNamespace(backend=decode)))
    if not what:
        check_graphs(decided)
        check_graphs(view())
        return
    with pytest.raises(EngineError, match=what):
        check_graphs(decided)


@pytest.mark.parametrize(("given", "own", "size"), [(None, None, 16), (None, 64, 64), (32, None, 32), (64, 64, 64)])
def test_pages_are_whole_blocks_and_one_block_unless_said_otherwise(given: int | None, own: int | None, size: int) -> None:
    assert page_size(given, POINT.with_(page_size=own)) == size


@pytest.mark.parametrize(("given", "own", "what"), [(24, None, "whole number of blocks"), (8, None, "whole number of blocks"),
                                                    (1, None, "whole number of blocks"), (32, 64, "operating point 64")])
def test_pages_that_are_not_are_refused(given: int, own: int | None, what: str) -> None:
    with pytest.raises(EngineError, match=what):
        page_size(given, POINT.with_(page_size=own))


@pytest.mark.parametrize(("graph", "shape", "changes", "what"), [
    (built_in("mla-centroid", LATENT.geometry(16)), SHAPE, {}, "is for latent attention"),
    (QUEST, LATENT, {}, "is for keys and values"),
    (QUEST, SHAPE, {"block_size": 32}, "was traced for"),
    (built_in("quest", Geometry(16, 32, 2)), SHAPE, {}, "was traced for"),
    (QUEST, SHAPE, {"renew_every": 4}, "serve 4 steps"),
    (built_in("quest", Geometry(1, 32, 4)), SHAPE, {"block_size": 1}, "blocks of one token"),
])
def test_a_flow_for_another_model_is_refused(graph: Graph, shape: ModelShape, changes: dict[str, int], what: str) -> None:
    with pytest.raises(EngineError, match=what):
        check_flow(graph, POINT.with_(**changes), shape)


def test_a_flow_for_this_model_passes() -> None:
    check_flow(QUEST, POINT, SHAPE)
    check_flow(built_in("mla-centroid", LATENT.geometry(16)), POINT, LATENT)


def test_state_does_not_go_with_decode_rows_that_are_prefilled() -> None:
    with pytest.raises(EngineError, match="misses the steps that --enable-dp-attention"):
        check_state(built_in("h2o", SHAPE.geometry(16)), attention_dp=True)
    check_state(built_in("h2o", SHAPE.geometry(16)), attention_dp=False)
    check_state(QUEST, attention_dp=True)
