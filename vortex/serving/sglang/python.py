"""Which Python runs SGLang: often not this one, since SGLang pins what others want newer."""
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vortex.errors import EngineError, MissingExtra
from vortex.serving.sglang.versions import SUPPORTED

VARIABLE = "VORTEX_SGLANG_PYTHON"
FOLDER = ".venv-sglang"
HINT = (f"`make sglang-cpu` makes {FOLDER} for a CPU. Elsewhere: pip install vortex-platform sglang=={SUPPORTED[-1]}, and set "
        f"{VARIABLE} to that Python.")
_ASK = """
import json
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
print(json.dumps({name: found(name) for name in ("sglang", "vortex-platform")}))
"""


@dataclass(frozen=True, kw_only=True)
class SglangPython:
    """`version` is that of SGLang, `ours` that of this package, as installed there; "" where they are not."""

    path: str
    version: str
    ours: str

    @property
    def supported(self) -> bool:
        return bool(self.ours) and self.version in SUPPORTED


def find_python(environment: Mapping[str, str] | None = None) -> SglangPython:
    """The first that has SGLang: $VORTEX_SGLANG_PYTHON alone if it is set, this one, .venv-sglang beside the package or here.

    Raises MissingExtra where none has it, EngineError for one that cannot serve.
    """
    found = look_for_python(environment)
    if found is None:
        raise MissingExtra("no Python with SGLang is found", hint=HINT)
    if not found.version:
        raise MissingExtra(f"SGLang is not installed for {found.path}, which {VARIABLE} names", hint=HINT)
    if found.version not in SUPPORTED:
        raise EngineError(f"SGLang {found.version} of {found.path} is not supported",
                          hint=f"Supported: {', '.join(SUPPORTED)}. {HINT}")
    if not found.ours:
        raise EngineError(f"{found.path} has SGLang, and not this package, which SGLang finds as a plug-in",
                          hint=f"{found.path} -m pip install vortex-platform")
    return found


def look_for_python(environment: Mapping[str, str] | None = None) -> SglangPython | None:
    """As find_python, whatever it is worth; None where there is none. Raises EngineError for a $VORTEX_SGLANG_PYTHON that
    does not run."""
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    if named:
        return _asked(named)
    return next((found for path in _places() if (found := _asked(path)).version), None)


def _places() -> Iterator[str]:
    if find_spec("sglang") is not None:
        yield sys.executable
    for folder in (Path(__file__).parents[3], Path.cwd()):
        path = folder / FOLDER / "bin" / "python"
        if path.is_file():
            yield str(path)


def _asked(path: str) -> SglangPython:
    try:
        answer = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, timeout=60, check=True,
                                stdin=subprocess.DEVNULL)
        found = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EngineError(f"{path} does not run as a Python: {error}", hint=HINT) from error
    return SglangPython(path=path, version=found["sglang"], ours=found["vortex-platform"])
