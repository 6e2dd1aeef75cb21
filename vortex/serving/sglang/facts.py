"""What a model runner of SGLang's says of its model: the shape that this rank serves, and the layers that attend in full."""
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.runtime_context import get_parallel

from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.ranks import Share, share_of


def shape_of(runner: ModelRunner) -> ModelShape:
    """Of this rank: kv heads and query heads as tensor parallelism shares them out."""
    config = runner.model_config
    text = config.hf_text_config
    latent = bool(runner.use_mla_backend)
    ranks = get_parallel().attn_tp_size
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


def share_of_rank(runner: ModelRunner) -> Share:
    """The kv heads of this rank; the latent head of MLA stands whole on every rank. Raises EngineError."""
    heads = 1 if runner.use_mla_backend else runner.model_config.get_total_num_kv_heads()
    return share_of(get_parallel().attn_tp_rank, get_parallel().attn_tp_size, heads)
