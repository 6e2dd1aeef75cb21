"""Texts of kernels as modules: Triton reads a function's source from a file, so every text gets one, named by its hash."""
import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType


def cache_folder() -> Path:
    """Where texts and built kernels are kept: $VORTEX_CACHE, else vortex/ in the user's cache."""
    base = os.environ.get("VORTEX_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) if base else Path(home) / "vortex"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@lru_cache(maxsize=4096)
def module_of(text: str) -> ModuleType:
    """The module of a kernel text that we generated; the same text gives the same module."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    path = cache_folder() / "sources" / f"k_{digest}.py"
    if not path.exists() or path.read_text() != text:
        _write(path, text)
    name = f"vortex_kernels_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _write(path: Path, text: str) -> None:
    """Two processes may write the same text at once: each writes its own file and moves it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)
