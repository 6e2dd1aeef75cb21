"""What was built, kept by the hash of its content: facts and PTX, of successes and of failures.

Entries are moved into place whole, so a reader sees an old one, a new one or none; one that does not fit its checksum is
none. Builders of one kernel wait for each other on file locks, which the system takes back from a process that dies.
"""
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import metadata
from pathlib import Path

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import Built
from vortex.compiler.kernels.modules import cache_folder
from vortex.errors import CompileError, MissingExtra

HINT = "Kernels are kept in $VORTEX_CACHE, else in vortex/ of the user's cache: name a folder that can be written."
EXTRA = "pip install 'vortex-platform[compile]'"


@cache
def triton_version() -> str:
    """Raises MissingExtra."""
    try:
        return metadata.version("triton")
    except metadata.PackageNotFoundError:
        raise MissingExtra("kernels are built with Triton, and it is not installed", hint=EXTRA) from None


def key_of(kernel: Kernel, target: str) -> str:
    """Names all that the machine code depends on."""
    return f"{kernel.digest}-{target}-{triton_version()}"


@dataclass(frozen=True)
class Store:
    """A folder of entries; it travels to the processes that build. Raises CompileError where the folder fails it."""

    folder: Path

    @staticmethod
    def usual() -> "Store":
        """The store of this user, made where it is not there."""
        try:
            store = Store(cache_folder() / "built")
            (store.folder / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CompileError(f"there is no folder for built kernels: {error}", hint=HINT) from error
        return store

    def read(self, key: str) -> Built | None:
        """None where there is no entry, or a damaged one."""
        try:
            check, _, text = self._path(key).read_text().partition("\n")
            if check != _checksum(text):
                return None
            body = json.loads(text)
            loads = {int(size): count for size, count in body.pop("loads").items()}
            return Built(**body, loads=loads)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def answer(self, key: str, limit_s: float) -> Built | None:
        """The same, but None as well where an earlier builder gave up sooner than `limit_s`."""
        found = self.read(key)
        return None if found and found.failed == "timeout" and found.seconds < limit_s else found

    def ptx(self, key: str) -> str:
        """The PTX of an entry; empty where none is kept."""
        path = self._path(key).with_suffix(".ptx")
        return path.read_text() if path.exists() else ""

    def write(self, key: str, built: Built, ptx: str = "") -> None:
        """Replaces the entry."""
        text = json.dumps({one.name: asdict(built)[one.name] for one in fields(built)})
        try:
            if ptx:
                self._place(self._path(key).with_suffix(".ptx"), ptx)
            self._place(self._path(key), f"{_checksum(text)}\n{text}")
        except OSError as error:
            raise CompileError(f"a built kernel cannot be kept: {error}", hint=HINT) from error

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """One builder of the kernel at a time, over all processes. Locks are few and shared: no litter of lock files."""
        path = self.folder / "locks" / key[:2]
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    @staticmethod
    def _place(path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(path)


def _checksum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
