"""A model of known sizes with made-up weights: what a decode step costs does not depend on what the weights say."""
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from vortex.compiler.shapes import ModelSizes
from vortex.errors import ModelError
from vortex.serving.checkpoint import ModelShape, quiet
from vortex.serving.embedded.attention import NAME, register

LONGEST = 1 << 20


def random_model(sizes: ModelSizes, device: torch.device, dtype: torch.dtype = torch.bfloat16,
                 seed: int = 0) -> tuple[PreTrainedModel, ModelShape]:
    """Of Qwen3's architecture, made where it runs; for EmbeddedEngine.start_with. Raises ModelError."""
    if sizes.latent is not None or sizes.experts is not None:
        raise ModelError(f"{sizes.name} is not made up of plain layers", hint="Random weights are made for Qwen3's architecture.")
    register()
    torch.manual_seed(seed)
    with quiet(), device:
        model = Qwen3ForCausalLM._from_config(  # type: ignore[no-untyped-call]  # transformers
            _config(sizes), dtype=dtype, attn_implementation=NAME)
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model, ModelShape(layers=sizes.layers, kv_heads=sizes.kv_heads, group=sizes.heads // sizes.kv_heads,
                             head_dim=sizes.head_dim, vocabulary=sizes.vocabulary, max_tokens=LONGEST,
                             hidden=sizes.hidden, intermediate=sizes.intermediate, tied=sizes.tied)


def _config(sizes: ModelSizes) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=sizes.vocabulary, hidden_size=sizes.hidden, intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_dim, tie_word_embeddings=sizes.tied, max_position_embeddings=LONGEST)
