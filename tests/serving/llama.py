"""A tiny Llama-type checkpoint with random weights, written where a test wants it."""
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from vortex.serving.checkpoint import locate


def write_llama(folder: Path) -> str:
    """3 layers, 5 query heads on 1 kv head, tied embeddings; the probe's tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=736, hidden_size=80, intermediate_size=96, num_hidden_layers=3,
                         num_attention_heads=5, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
                         tie_word_embeddings=True, initializer_range=0.3, bos_token_id=1, eos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate("probe")).save_pretrained(folder)
    return str(folder)
