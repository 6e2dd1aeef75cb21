"""Tiny models of the types that are served, with random weights: large enough that tokens vary, small enough for two cores."""
from pathlib import Path

import torch
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

VOCABULARY = 512
SHARED = {"vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
          "num_attention_heads": 8, "max_position_embeddings": 4096,
          "tie_word_embeddings": False, "initializer_range": 0.2, "eos_token_id": 2}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}


def qwen3() -> PreTrainedModel:
    """2 kv heads of 32 channels, 4 query heads each."""
    return Qwen3ForCausalLM(Qwen3Config(**SHARED, num_key_value_heads=2, head_dim=32))


def qwen3_moe() -> PreTrainedModel:
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SHARED, **EXPERTS, num_key_value_heads=2, head_dim=32, num_experts=4))


def deepseek_v2() -> PreTrainedModel:
    """Latent attention: rows of 64 + 16 channels for 8 query heads. SGLang's rope for it runs on a CPU where it is yarn's."""
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048, "beta_fast": 32, "beta_slow": 1,
            "mscale": 1.0, "mscale_all_dim": 1.0, "rope_theta": 10000.0}
    return DeepseekV2ForCausalLM(DeepseekV2Config(
        **SHARED, **EXPERTS, num_key_value_heads=8, kv_lora_rank=64, qk_rope_head_dim=16, qk_nope_head_dim=32, v_head_dim=32,
        q_lora_rank=None, n_routed_experts=4, n_shared_experts=1, first_k_dense_replace=3, moe_layer_freq=1,
        scoring_func="softmax", rope_parameters=yarn))


MODELS = {"qwen3": qwen3, "qwen3-moe": qwen3_moe, "deepseek-v2": deepseek_v2}


def write_model(name: str, folder: Path, seed: int = 0) -> str:
    """Saves it in a folder of its own, unless it is there; its path."""
    path = folder / name
    if not path.exists():
        torch.manual_seed(seed)
        MODELS[name]().save_pretrained(path)
    return str(path)
