"""The operating point and the upstream's form of it: what is refused with which words, and what one says in the other."""
import json
import pickle
from typing import Any

import pytest

from vortex.config import OperatingPoint, VortexConfig, make_point, normalize_vortex_config, split_flat_kwargs
from vortex.errors import ModelError, PointError, Where
from vortex.serving.checkpoint import find_checkpoint


@pytest.mark.parametrize(("setting", "value", "said"), [
    ("block_size", 17, "block_size must be a power of two, not 17"), ("block_size", 0, "block_size: Input should be greater"),
    ("block_size", "x", "block_size: Input should be a valid integer"), ("model", 3, "model: Input should be a valid string"),
    ("topk_val", -1, "topk_val: Input should be greater"), ("topk_ratio", float("nan"), "topk_ratio: Input should be"),
    ("topk_ratio", 1.5, "topk_ratio: Input should be less"), ("block_reserved_eos", 0, "block_reserved_eos: Input should"),
    ("topk_layers", [1, [2, -3]], "topk_layers.1: Input"), ("topk_layers", [1, [2, -3]], "topk_layers.1"),
    ("ratio_layers", [2.0], "ratio_layers.0: Input"), ("schedule_policy", " \n", "schedule_policy is empty"),
    ("layer_modes", ["slow"], "layer_modes.0: Input should be 'dense', 'select' or 'reuse'"), ("renew_every", 0, "renew_every"),
    ("page_size", 24, "page_size must be a multiple of block_size 16, not 24"), ("max_topk_val", 0, "max_topk_val"),
    ("dtype", "fp8", "dtype: Input should be"), ("topk_vla", 3, "topk_vla is not a setting"),
])
def test_a_setting_that_cannot_be_is_a_point_error(setting: str, value: Any, said: str) -> None:
    for make in (lambda: OperatingPoint(**{setting: value}), lambda: make_point({setting: value}),
                 lambda: OperatingPoint().with_(**{setting: value}), lambda: OperatingPoint.model_validate({setting: value})):
        with pytest.raises(PointError) as caught:
            make()
        assert caught.value.message.startswith(said)
        assert caught.value.hint


def test_a_refusal_is_placed_and_names_the_nearest_setting() -> None:
    with pytest.raises(PointError) as caught:
        make_point({"topk_vla": 3}, Where("mine.toml", 4, "topk_vla = 3"))
    assert caught.value.report().startswith(
        "mine.toml:4  PointError\n    topk_vla = 3\n  topk_vla is not a setting\n  Did you mean topk_val? Settings: model, ")


def test_a_point_travels() -> None:
    point = OperatingPoint(model="", topk_layers=[1, [2, 3]], layer_modes=["dense", "select"])
    assert pickle.loads(pickle.dumps(point)) == point == OperatingPoint.model_validate_json(point.model_dump_json())
    assert [point.mode(layer) for layer in range(3)] == ["dense", "select", "select"]
    assert point.with_(layers_skip=[2]).mode(2) == "dense"


@pytest.mark.parametrize("model", ["", "  "])
def test_a_point_may_name_no_model_and_an_engine_refuses_it(model: str) -> None:
    assert OperatingPoint(model=model).block_size == 16
    with pytest.raises(ModelError, match="no model is named"):
        find_checkpoint(model)


def test_the_upstreams_defaults() -> None:
    config = VortexConfig()
    assert (config.topk_val, config.block_reserved_eos, config.dtype, config.layers_skip) == (30, 1, "bfloat16", None)
    assert config.without_meaning == ()
    point = config.point(model="probe")
    assert point == OperatingPoint(model="probe", topk_val=30, topk_ratio=0.0, block_reserved_eos=1, dtype="bfloat16")
    assert VortexConfig.legacy_defaults()["workload_chunk_size"] == 32


def test_every_setting_is_carried_or_said_to_have_no_meaning() -> None:
    config = VortexConfig(block_size=32, topk_val=61, max_topk_val=96, layers_skip=[0], block_reserved_bos=2, dtype="fp32",
                          topk_ratio=0.5, schedule_policy="7", workload_chunk_size=64, impl_backend="cuda", kv_int4=True)
    assert config.without_meaning == ("workload_chunk_size", "impl_backend", "kv_int4")
    assert config.point("m", page_size=64) == OperatingPoint(
        model="m", block_size=32, topk_val=61, max_topk_val=96, layers_skip=(0,), block_reserved_bos=2, block_reserved_eos=1,
        dtype="float32", topk_ratio=0.5, schedule_policy="7", page_size=64)


@pytest.mark.parametrize(("settings", "said"), [
    ({"topk_vals": 3}, "topk_vals is not a setting"), ({"attention_backend": "fa3"}, "'flashinfer' or 'trtllm'"),
    ({"use_tensor_core": True, "impl_backend": "cuda"}, "use_tensor_core goes with impl_backend 'triton'"),
    ({"block_reserved_eos": 0}, "block_reserved_eos"), ({"topk_val": 0}, "topk_val"),
    ({"host_kv_policy": "mru"}, "host_kv_policy"),
])
def test_a_config_that_cannot_be_is_a_point_error(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(PointError, match=said):
        VortexConfig(**settings)


@pytest.mark.parametrize(("settings", "said"), [
    ({"dtype": "fp8_e4m3"}, "dtype: fields are not kept in 'fp8_e4m3'"), ({"block_size": 24}, "power of two, not 24"),
])
def test_a_config_may_say_what_no_point_can(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(PointError, match=said):
        VortexConfig(**settings).point()


def test_a_config_is_taken_in_every_form() -> None:
    config = VortexConfig(topk_val=7, layers_skip=[0])
    flat = {"vortex_topk_val": 7, "layers_skip": [0], "mem_fraction_static": 0.8}
    for given in (config, flat, json.dumps(flat)):
        assert normalize_vortex_config(given) == config
    with pytest.raises(PointError, match="not JSON"):
        normalize_vortex_config("{")
    with pytest.raises(PointError, match="not an object"):
        normalize_vortex_config("[1]")


def test_flat_settings_count_only_where_sparsity_is_on() -> None:
    flat = {"vortex_topk_val": 7, "tp_size": 2}
    assert split_flat_kwargs({**flat, "enable_vortex_sparsity": True}) == (VortexConfig(topk_val=7), {"tp_size": 2})
    assert split_flat_kwargs({**flat, "enable_vortex_sparsity": False}) == (None, {"tp_size": 2})
    assert split_flat_kwargs(flat) == (None, {"tp_size": 2})


def test_a_target_is_told_only_where_there_is_one() -> None:
    """Archives hold points of before there were targets: those keep their hash."""
    assert "target" not in OperatingPoint().model_dump() and "target" not in OperatingPoint().model_dump_json()
    built = OperatingPoint(target="sm_90")
    assert built.model_dump()["target"] == "sm_90" and built.hash != OperatingPoint().hash
    assert OperatingPoint(**built.model_dump()) == built and built.with_(target=None) == OperatingPoint()


@pytest.mark.parametrize("below", [-3, "soon", True, 1.5])
def test_when_to_be_dense_is_a_word_or_a_number_of_tokens(below: object) -> None:
    with pytest.raises(PointError, match='dense_below: "auto", "never" or a number of tokens'):
        OperatingPoint(dense_below=below)
    assert [OperatingPoint(dense_below=kept).dense_below for kept in (None, "auto", "never", 0, "512")] == [
        None, "auto", "never", 0, 512]
