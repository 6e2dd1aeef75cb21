"""How the warm parent is put behind a wall: by bubblewrap, or by what the kernel lets any process do to itself."""
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import evaluator
from evaluator.sandbox import landlock

ROOT = str(Path(evaluator.__file__).parent.parent)
OURS = tuple(f"{ROOT}/{name}" for name in ("vortex", "evaluator"))
LIBRARIES = ("pyseccomp", "safetensors", "numpy", "torch", "pydantic")
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
SCRATCH_BYTES = 64 << 20
START = "import sys; sys.path += {path!r}; from evaluator.sandbox.keeper import main; main()"
MOUNT_POINTS = ("/mnt", "/media", "/srv", "/opt", "/tmp", "/var/tmp")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
               "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Means:
    """`command` begins the warm parent; `scratch` is a folder of its own, to be `mounted` by it where that is False.
    Children use `landlock` where the kernel has it."""

    name: str
    version: str
    command: Callable[[Sequence[str]], Sequence[str]]
    scratch: str
    mounted: bool
    landlock: bool = True


def candidates() -> Iterator[Means | str]:
    """The means of this machine, best first; for what is missing, why."""
    found = shutil.which("bwrap")
    if found is None:
        yield "bubblewrap: bwrap is not installed"
    else:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.split()
        yield Means("bubblewrap", said[-1] if said else "", lambda paths: _bubblewrap(found, paths), "/scratch", True)
    version = landlock.version()
    if not version:
        yield "Landlock: this kernel does not offer it"
    else:
        yield Means("Landlock", str(version), lambda paths: _python(), _mount_point(), False)


def readable(more: Sequence[str] = ()) -> list[str]:
    """What a child may read: Python, its libraries, and ours; never a folder because it is on the path."""
    homes = [str(Path(origin).parent) for origin in _origins()]
    wanted = [*SYSTEM, *DEVICES, _straight(sys.base_prefix), _straight(sys.prefix), *OURS, *homes, *more]
    return [path for path in dict.fromkeys(wanted) if Path(path).exists()]


def library_path() -> list[str]:
    """Where the parent looks for them."""
    return list(dict.fromkeys(str(path.parent.parent if path.name == "__init__.py" else path.parent)
                              for path in map(Path, _origins())))


def _origins() -> list[str]:
    return [_straight(spec.origin) for name in LIBRARIES if (spec := find_spec(name)) and spec.origin]


def _straight(path: str) -> str:
    """Without the `..` that stays in Python's own paths when it is called by such a one: the folders on the way there are not
    in the sandbox. The last part is left, since a virtual environment is known by the link that its `python` is."""
    return str(Path(path).parent.resolve() / Path(path).name) if ".." in Path(path).parts else path


def _mount_point() -> str:
    """An empty place of its own is mounted over a folder that nothing readable lies in."""
    needed = [os.path.realpath(path) for path in (*readable(), *library_path())]
    return next((place for place in MOUNT_POINTS if Path(place).is_dir() and not any(
        path == place or path.startswith(place + "/") for path in needed)), "")


def _python() -> list[str]:
    return [_straight(sys.executable), "-I", "-c", START.format(path=[ROOT, *library_path()])]


def _bubblewrap(program: str, paths: Sequence[str]) -> list[str]:
    """Everything unshared; its own environment is clean too, since it can be read as that of process 1. Settings of the kernel
    under /proc/sys belong to root, and root in there is still the owner: that folder is read-only as well."""
    words = [program, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000",
             "--cap-drop", "ALL", "--new-session",
             "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for path in sorted(set(paths) - set(DEVICES)):
        if Path(path).is_symlink():
            words += ["--symlink", str(Path(path).readlink()), path]
        else:
            words += ["--ro-bind", path, path]
    return [*words, "--size", str(SCRATCH_BYTES), "--tmpfs", "/scratch", "--remount-ro", "/", "--chdir", "/scratch", *_python()]
