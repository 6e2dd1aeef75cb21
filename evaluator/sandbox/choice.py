"""Which sandbox this machine has: the best one that is shown to hold, found once; without one, texts of others are refused."""
import atexit
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from evaluator.sandbox.entries import holes
from evaluator.sandbox.means import Means, candidates
from evaluator.sandbox.sandbox import Sandbox, SandboxBroken
from vortex import child
from vortex.errors import SandboxUnavailable, VortexError

Result = TypeVar("Result")
PROBE_S, PROBE_BYTES = 20.0, 1 << 28
HINT = ("Install bubblewrap (apt install bubblewrap), or Linux 5.13 or newer with Landlock and pip install "
        '"vortex-platform[eval]"; --unsafe runs such texts under the allow-list and limits alone.')
_unsafe = threading.Event()
_finding = threading.Lock()


@dataclass(frozen=True)
class Standing:
    """`sandbox` is None where none holds; `tried` says why of every means that was passed over."""

    sandbox: Sandbox | None
    tried: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        if self.sandbox is None:
            return f"none ({'; '.join(self.tried)}): texts of others are refused"
        means, told = self.sandbox.means, self.sandbox.told
        beside = "seccomp" if means.name == "Landlock" or not told["landlock"] else f"Landlock {told['landlock']} and seccomp"
        return f"{means.name} {means.version} with {beside}" + ("" if told["scratch"] else ", nothing writable")

    def to_json(self) -> dict[str, Any]:
        """`means` (None: none), its `version`, whether a scratch folder is writable, and what was `tried` in vain."""
        if self.sandbox is None:
            return {"means": None, "version": "", "scratch": False, "tried": list(self.tried)}
        means = self.sandbox.means
        return {"means": means.name, "version": means.version, "scratch": bool(self.sandbox.told["scratch"]),
                "landlock": self.sandbox.told["landlock"], "tried": list(self.tried)}


def run(function: Callable[..., Result], *args: Any, wall_s: float, memory_bytes: int, trusted: bool = False) -> Result:
    """As `vortex.child.run`, in the sandbox of this machine; arguments and value are JSON.

    Where there is none: a `trusted` call, of text that we wrote, runs in a limited child, and so does every call after
    `allow_unsafe`, with one warning. Raises SandboxUnavailable for others, and what `vortex.child.run` raises.
    """
    found = standing().sandbox
    if found is not None:
        try:
            return found.run(function, *args, wall_s=wall_s, memory_bytes=memory_bytes)
        except SandboxBroken as error:
            raise SandboxUnavailable(f"the sandbox is broken: {error}", hint=HINT) from error
    if not (trusted or unsafe()):
        tried = "; ".join(standing().tried)
        raise SandboxUnavailable(f"this machine has no sandbox for a text that somebody else wrote: {tried}", hint=HINT)
    _warn()
    return child.run(function, *args, wall_s=wall_s, memory_bytes=memory_bytes)


def allow_unsafe() -> None:
    """For this process: where there is no sandbox, every text runs under the allow-list and the limits of a child."""
    _unsafe.set()


def unsafe() -> bool:
    """Whether that was allowed."""
    return _unsafe.is_set()


def standing() -> Standing:
    """Found on the first call, which takes a second or two."""
    with _finding:
        return _found()


@lru_cache(maxsize=1)
def _found() -> Standing:
    tried = []
    for means in candidates():
        if isinstance(means, str):
            tried.append(means)
            continue
        sandbox = Sandbox(means)
        reason = _why_not(sandbox)
        if not reason:
            atexit.register(sandbox.close)
            return Standing(sandbox, tuple(tried))
        sandbox.close()
        tried.append(f"{means.name}: {reason}")
    return Standing(None, tuple(tried))


def _why_not(sandbox: Sandbox) -> str:
    """Why this one does not hold here; tried by its own children before any text is."""
    with tempfile.TemporaryDirectory(prefix="vortex-probe-") as folder:
        secret = Path(folder, "secret")
        secret.touch(mode=0o600)
        try:
            found = sandbox.run(holes, str(secret), folder, wall_s=PROBE_S, memory_bytes=PROBE_BYTES)
        except (SandboxBroken, VortexError) as error:
            return str(error)
    return ", ".join(found)


@lru_cache(maxsize=1)
def _warn() -> None:
    warnings.warn("no sandbox here: texts run under the allow-list and the limits of a child alone", stacklevel=4)


def working() -> list[Means]:
    """Every means that holds on this machine, each tried."""
    found = []
    for means in candidates():
        if not isinstance(means, str):
            sandbox = Sandbox(means)
            if not _why_not(sandbox):
                found.append(means)
            sandbox.close()
    return found
