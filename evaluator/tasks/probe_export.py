"""Writes a trained probe as a folder that transformers loads: weights, configuration, word-level tokenizer."""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from evaluator.tasks import vocabulary
from evaluator.tasks.probe_model import ProbeModel, ProbeShape

_SPECIAL_IDS = {"bos_token_id": vocabulary.BOS, "eos_token_id": vocabulary.EOS, "pad_token_id": vocabulary.PAD}


def export(model: ProbeModel, folder: Path) -> None:
    """Replaces what an earlier export left in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().float().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    _write(folder / "config.json", _config(model.shape))
    _write(folder / "generation_config.json", {**_SPECIAL_IDS, "do_sample": False})
    _write(folder / "tokenizer.json", _tokenizer(model.shape))
    _write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
        "unk_token": "<pad>", "model_max_length": model.shape.positions, "clean_up_tokenization_spaces": False,
        "add_bos_token": False})


def _write(path: Path, body: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def _config(shape: ProbeShape) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": shape.vocabulary,
        "hidden_size": shape.width, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.query_heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "hidden_act": "silu", "max_position_embeddings": shape.positions, "rms_norm_eps": 1e-6,
        "rope_theta": shape.rope_theta, "rope_scaling": None, "attention_bias": False, "attention_dropout": 0.0,
        "tie_word_embeddings": False, "use_sliding_window": False, "sliding_window": None,
        "max_window_layers": shape.layers, "initializer_range": 0.02, "use_cache": True, **_SPECIAL_IDS,
        "torch_dtype": "float32"}


def _tokenizer(shape: ProbeShape) -> dict[str, Any]:
    words = dict(vocabulary.ID) | {f"<unused{i}>": i for i in range(len(vocabulary.WORDS), shape.vocabulary)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": word, **flags} for i, word in enumerate(vocabulary.SPECIAL)],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<pad>"}}
