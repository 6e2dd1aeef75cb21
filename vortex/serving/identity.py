"""What a model is, whatever its folder is called: a hash of its config, its tokenizer and its weights."""
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from vortex.errors import ModelError
from vortex.serving.checkpoint import locate

_READ = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
         "model.safetensors.index.json")
_WEIGHTS = (".safetensors", ".bin", ".gguf")
_WHOLE_BYTES = 64 << 20               # weight files up to this size are read whole
_PAGES, _PAGE_BYTES = 1024, 4096      # of longer ones so many pages, evenly spread, the first and the last among them


def identity(model: str) -> str:
    """16 hex digits of the contents of config, tokenizer and weight files: the same for every copy.

    Of a weight file of more than 64 MiB 1,024 pages of 4 KiB are read. Other training, other rounding and a tensor of a
    thousandth of the file that was put in place of another show; a change of less that lies between two pages does not.
    Raises ModelError for a Hugging Face id that does not lie on this machine.
    """
    return _digest(_folder(model), _weights)


def identity_by_sizes(model: str) -> str:
    """The same of names and sizes of weight files alone, as archives and bundles held it once. Raises ModelError."""
    return _digest(_folder(model), lambda path: path.stat().st_size)


def _digest(folder: Path, of_weights: Callable[[Path], int | str]) -> str:
    told = {path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
            for name in _READ if (path := folder / name).is_file()}
    weights = {path.name: of_weights(path) for path in sorted(folder.iterdir()) if path.suffix in _WEIGHTS}
    return hashlib.blake2b(json.dumps([told, weights], sort_keys=True).encode(), digest_size=8).hexdigest()


def _weights(path: Path) -> str:
    size = path.stat().st_size
    found = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            found.update(file.read())
        else:
            for page in range(_PAGES):
                found.update(os.pread(file.fileno(), _PAGE_BYTES, page * (size - _PAGE_BYTES) // (_PAGES - 1)))
    return found.hexdigest()


def _folder(model: str) -> Path:
    path = locate(model)
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import try_to_load_from_cache  # a model in a folder does without

    found = try_to_load_from_cache(path, "config.json")
    if not isinstance(found, str):
        raise ModelError(f"{model!r} does not lie on this machine", hint=f"Download it first: hf download {model}")
    return Path(found).parent
