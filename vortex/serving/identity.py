"""What a model is, whatever its folder is called: a hash of its config, its tokenizer and its weight files."""
import hashlib
import json
from pathlib import Path

from vortex.errors import ModelError
from vortex.serving.checkpoint import locate

_READ = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
         "model.safetensors.index.json")
_WEIGHTS = (".safetensors", ".bin", ".gguf")


def identity(model: str) -> str:
    """16 hex digits of the contents of config and tokenizer, and of names and sizes of weight files: the same for every copy.

    Weights are not read, so another training of the same shape under the same tokenizer is not told apart. Raises
    ModelError for a Hugging Face id that does not lie on this machine.
    """
    folder = _folder(model)
    told = {path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            for name in _READ if (path := folder / name).is_file()}
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.suffix in _WEIGHTS}
    return hashlib.blake2b(json.dumps([told, sizes], sort_keys=True).encode(), digest_size=8).hexdigest()


def _folder(model: str) -> Path:
    path = locate(model)
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import try_to_load_from_cache  # a model in a folder does without

    found = try_to_load_from_cache(path, "config.json")
    if not isinstance(found, str):
        raise ModelError(f"{model!r} does not lie on this machine", hint=f"Download it first: hf download {model}")
    return Path(found).parent
