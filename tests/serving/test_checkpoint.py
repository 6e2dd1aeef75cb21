"""Which models are served, by which engine, and of what shape: read from configs alone."""
import json
from pathlib import Path
from typing import Any

import pytest

from vortex.errors import ModelError
from vortex.ir import Geometry
from vortex.serving.checkpoint import EngineName, find_checkpoint

SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
         "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512, "max_position_embeddings": 4096}
LATENT = {"kv_lora_rank": 64, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32, "q_lora_rank": None,
          "num_key_value_heads": 8, "head_dim": 16}          # the type's own name for the width of the rotary part


def config(folder: Path, kind: str, **more: Any) -> str:
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **SIZES, **more}))
    return str(folder)


@pytest.mark.parametrize("kind", ["qwen3", "llama", "qwen3_moe", "qwen2_moe", "mixtral", "glm4_moe", "qwen3_next"])
def test_the_shape_of_keys_and_values_is_read_from_the_config(tmp_path: Path, kind: str) -> None:
    model = config(tmp_path, kind, sliding_window=None)
    assert find_checkpoint(model, "sglang").shape.geometry(16) == Geometry(block_size=16, head_dim=32, group=4)


@pytest.mark.parametrize("kind", ["deepseek_v2", "deepseek_v3", "glm4_moe_lite"])
def test_latent_attention_has_one_head_that_all_query_heads_share(tmp_path: Path, kind: str) -> None:
    shape = find_checkpoint(config(tmp_path, kind, **LATENT), "sglang").shape
    assert shape.geometry(16) == Geometry.of_latent(16, kv_lora_rank=64, qk_rope_head_dim=16, group=8)
    assert (shape.kv_heads, shape.head_dim) == (1, 80)


@pytest.mark.parametrize(("kind", "engine", "more", "what"), [
    ("deepseek_v2", "embedded", LATENT, "not served"), ("qwen3_moe", "embedded", {}, "not served"),
    ("gemma2", "sglang", {}, "not served"), ("mixtral", "sglang", {"sliding_window": 4096}, "sliding window"),
    ("qwen3", "sglang", {"layer_types": ["full_attention", "sliding_attention"] * 2}, "sliding window"),
])
def test_what_an_engine_does_not_serve_is_refused(tmp_path: Path, kind: str, engine: EngineName, more: dict[str, Any],
                                                  what: str) -> None:
    with pytest.raises(ModelError, match=what):
        find_checkpoint(config(tmp_path, kind, **more), engine)
