"""The actor that is every worker and every warden; pickled whole, since a node need not have our code before it comes.

Nothing of ours is imported at the top: the code that came along has to be found first.
"""
import hashlib
import importlib
import io
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGES = ("vortex", "evaluator", "search", "agent")


class Host:
    """Holds one object of a class of ours. `code` None: what is installed here is used."""

    def __init__(self, code: bytes | None) -> None:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")     # as nvidia-smi numbers them; else the fastest is 0
        if code is not None:
            sys.path.insert(0, _unpacked(code))
        self._held: Any = None

    def make(self, module: str, name: str, *args: Any, **named: Any) -> None:
        """Makes the object: its class by module and name."""
        self._held = getattr(importlib.import_module(module), name)(*args, **named)

    def ask(self, method: str, *args: Any) -> Any:
        """What a method of the object says."""
        return getattr(self._held, method)(*args)


def packed() -> bytes:
    """Our packages as they stand here, probe model included: a zip."""
    import evaluator  # where the packages are is known by any of them

    root, buffer = Path(str(evaluator.__file__)).parents[1], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for package in PACKAGES for file in (root / package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(root))
    return buffer.getvalue()


def _unpacked(code: bytes) -> str:
    """The folder of that code on this node; workers of the same code share it."""
    digest = hashlib.blake2b(code, digest_size=8).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"vortex-code-{os.getuid()}-{digest}"
    if not folder.exists():
        fresh = Path(tempfile.mkdtemp(prefix="vortex-code-"))
        zipfile.ZipFile(io.BytesIO(code)).extractall(fresh)
        try:
            fresh.rename(folder)
        except OSError:                       # another worker was faster
            shutil.rmtree(fresh)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else: code from there is not run")
    return str(folder)
