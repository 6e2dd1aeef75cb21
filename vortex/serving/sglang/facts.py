"""What SGLang says of its model: the shape that a rank serves, its share of the heads, and the layers that attend in full."""
from typing import Any

from sglang.srt.configs.hybrid_arch import mambaish_config
from sglang.srt.configs.model_config import AttentionArch, is_deepseek_dsa
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.runtime_context import get_parallel

from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.models import ModelFacts
from vortex.serving.sglang.ranks import Share, share_of


def facts_of(config: Any, ranks: int, rank: int = 0) -> ModelFacts:
    """Of SGLang's ModelConfig, for one of `ranks` of tensor parallelism. Raises EngineError where heads are not shared evenly."""
    window = config.sliding_window_size or config.attention_chunk_size or int(bool(config.is_hybrid_swa))
    return ModelFacts(
        name=config.model_path, kind=config.hf_text_config.model_type, shape=model_shape(config, ranks),
        share=_share(config, ranks, rank), full=full_layers(config), window=int(window),
        encoder_decoder=bool(config.is_encoder_decoder), generates=bool(config.is_generation),
        indexed=bool(is_deepseek_dsa(config.hf_config)),
    )


def model_shape(config: Any, ranks: int) -> ModelShape:
    """Kv heads and query heads as tensor parallelism shares them out."""
    text, latent = config.hf_text_config, _latent(config)
    heads = config.num_attention_heads // ranks
    kv_heads = 1 if latent else config.get_num_kv_heads(ranks)
    rank = int(config.kv_lora_rank) if latent else 0
    rope = int(config.qk_rope_head_dim) if latent else 0
    return ModelShape(
        layers=config.num_hidden_layers, kv_heads=kv_heads, group=heads // kv_heads,
        head_dim=rank + rope if latent else config.head_dim, vocabulary=config.vocab_size, max_tokens=config.context_len,
        hidden=config.hidden_size, intermediate=int(getattr(text, "intermediate_size", 0) or 0),
        tied=bool(getattr(text, "tie_word_embeddings", False)), kv_lora_rank=rank, qk_rope_head_dim=rope,
    )


def full_layers(config: Any) -> frozenset[int]:
    """Layers whose keys and values are in pages, by the model's own numbers: the others of hybrid models are linear."""
    hybrid = mambaish_config(config)
    return frozenset(range(config.num_hidden_layers) if hybrid is None else hybrid.full_attention_layer_ids)


def shape_of(runner: ModelRunner) -> ModelShape:
    """Of this rank."""
    return model_shape(runner.model_config, get_parallel().attn_tp_size)


def share_of_rank(runner: ModelRunner) -> Share:
    """The kv heads of this rank; the latent head of MLA stands whole on every rank. Raises EngineError."""
    return _share(runner.model_config, get_parallel().attn_tp_size, get_parallel().attn_tp_rank)


def _share(config: Any, ranks: int, rank: int) -> Share:
    return share_of(rank, ranks, 1 if _latent(config) else config.get_total_num_kv_heads())


def _latent(config: Any) -> bool:
    return bool(config.attention_arch == AttentionArch.MLA)
