"""Models and settings of SGLang's as the checks before a start see them, without SGLang."""
from types import SimpleNamespace
from typing import Any

from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.models import ModelFacts
from vortex.serving.sglang.ranks import Share

LAYERS = 4
SHAPE = ModelShape(layers=LAYERS, kv_heads=2, group=4, head_dim=32, vocabulary=512, max_tokens=4096, hidden=128,
                   intermediate=256, tied=False)
LATENT = ModelShape(layers=LAYERS, kv_heads=1, group=8, head_dim=80, vocabulary=512, max_tokens=4096, hidden=128,
                    intermediate=256, tied=False, kv_lora_rank=64, qk_rope_head_dim=16)


def model(shape: ModelShape = SHAPE, **more: Any) -> ModelFacts:
    heads = shape.kv_heads
    return ModelFacts(**{"name": "m", "kind": "qwen3", "shape": shape, "share": Share(heads=heads, total=heads),
                         "full": frozenset(range(shape.layers)), **more})


def view(**given: Any) -> Any:
    """SGLang's settings with nothing asked for."""
    nothing = {"attention_backend": None, "prefill_attention_backend": None, "decode_attention_backend": None,
               "page_size": None, "disable_radix_cache": False, "enable_dp_attention": False, "kv_cache_dtype": "auto",
               "max_total_tokens": None, "attn_cp_size": 1, "dcp_size": 1, "pp_size": 1, "speculative_algorithm": None,
               "cuda_graph_config": None}
    return SimpleNamespace(**{**nothing, **given})
