"""Which SGLang the plug-in is made for: its hooks are no public interface, so that every version is tried before it is named."""
from importlib.metadata import PackageNotFoundError, version

from vortex.errors import EngineError, MissingExtra

SUPPORTED = ("0.5.23",)
HINT = f"pip install sglang=={SUPPORTED[-1]}"


def check_version() -> str:
    """The SGLang of this interpreter. Raises MissingExtra where there is none, EngineError for one that was never tried."""
    try:
        found = version("sglang")
    except PackageNotFoundError as error:
        raise MissingExtra("SGLang is not installed", hint=HINT) from error
    if found not in SUPPORTED:
        raise EngineError(f"SGLang {found} is not supported", hint=f"Supported: {', '.join(SUPPORTED)}. {HINT}")
    return found
