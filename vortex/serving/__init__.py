"""Engines by name; each is imported when it is asked for, so that the light core needs none of their libraries."""
import importlib

from vortex.errors import EngineError, MissingExtra
from vortex.serving.engine import Engine

ENGINES = {
    "embedded": ("vortex.serving.embedded.engine", "EmbeddedEngine", "eval"),
    "sglang": ("vortex.serving.sglang.engine", "SglangEngine", "eval"),
}


def make_engine(name: str, gpus: int = 1) -> Engine:
    """An engine that is not started yet; SGLang's divides its model over so many GPUs.

    Raises EngineError for an unknown name, and for several GPUs where one is all it takes; MissingExtra for a missing library.
    """
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}", hint=f"Engines: {', '.join(ENGINES)}.")
    module, cls, extra = ENGINES[name]
    try:
        found = getattr(importlib.import_module(module), cls)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing == "vortex":
            raise
        raise MissingExtra(f"the {name} engine needs {missing}, which is not installed",
                           hint=f'pip install "vortex-platform[{extra}]"') from error
    if gpus > 1 and name != "sglang":
        raise EngineError(f"the {name} engine runs on one GPU, not on {gpus} together", hint='engine = "sglang" divides a model.')
    engine: Engine = found.on(gpus) if gpus > 1 else found()
    return engine
