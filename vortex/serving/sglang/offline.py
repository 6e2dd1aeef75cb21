"""sglang.Engine with a flow: takes what the upstream's engine takes, and what ours do."""
import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vortex.config import OperatingPoint, VortexConfig, split_flat_kwargs
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.given import from_config
from vortex.serving.sglang.plugin import NAME
from vortex.serving.sglang.settings import VARIABLE, Settings, settings_of
from vortex.serving.sglang.versions import check_version

SLOTS = (NAME, "flashinfer", "trtllm_mha")          # names of SGLang's backends under which the upstream's configs run


def Engine(model_path: str, *, vortex_config: VortexConfig | Mapping[str, Any] | str | None = None,  # noqa: N802 - as SGLang's
           flow: str | None = None, graph: Graph | None = None, point: OperatingPoint | None = None, **server_args: Any) -> Any:
    """An sglang.Engine that decodes with a flow: a built-in's name or a file, a Graph traced for the model, or the upstream's
    config as object, JSON or flat names (`enable_vortex_sparsity`, `vortex_*`, `vortex`); dense, ready for one, without any.

    Settings of SGLang go on to it. Raises VortexError for what is not served, before a process is started.
    """
    settings, rest = taken(vortex_config=vortex_config, flow=flow, graph=graph, point=point, **server_args)
    check_version()
    import torch  # with SGLang: whoever only asks what is taken does without

    if not torch.cuda.is_available():
        os.environ.update(cpu_environment())
        rest = {"device": "cpu", "dtype": "float32", "mem_fraction_static": 0.3, "disable_cuda_graph": True, **rest}
    import sglang  # once it is told the device
    from sglang.srt.plugins.hook_registry import HookRegistry

    from vortex.serving.sglang.hooks import install

    with _told(settings):
        install(NAME, settings)           # SGLang loads plug-ins once, and may have done so before there was a flow
        HookRegistry.apply_hooks()
        return sglang.Engine(model_path=model_path, attention_backend=NAME, **rest)


def taken(*, vortex_config: VortexConfig | Mapping[str, Any] | str | None = None, flow: str | None = None,
          graph: Graph | None = None, point: OperatingPoint | None = None, **server_args: Any) -> tuple[Settings, dict[str, Any]]:
    """What our plug-in is told, and what is SGLang's. Raises EngineError, PointError, FlowNotFound."""
    flat, rest = split_flat_kwargs(server_args)
    configs = [config for config in (vortex_config, rest.pop("vortex", None), flat) if config is not None]
    if len(configs) + (flow is not None) + (graph is not None) > 1:
        raise EngineError("more than one flow is given", hint="Give flow, graph, or one config.")
    if configs and point is not None:
        raise EngineError("an operating point is given beside a config, which holds one", hint="Leave one of the two out.")
    asked = rest.pop("attention_backend", NAME)
    if asked not in SLOTS:
        raise EngineError(f"attention_backend={asked!r} serves no flow", hint=f"Leave it out: it is {NAME!r}.")
    if configs:
        return Settings(**from_config(configs[0])), rest
    said = {} if point is None else {"point": point.model_dump(exclude_unset=True)}
    found = settings_of({"flow": flow, "graph": None if graph is None else graph.to_json(), **said})
    assert found is not None, "only the upstream's form switches sparsity off"
    return found, rest


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """The environment that SGLang's children inherit."""
    folder, before = Path(tempfile.mkdtemp(prefix="vortex-sglang-")), os.environ.get(VARIABLE)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(settings.put(folder))
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
