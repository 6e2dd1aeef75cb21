"""The plug-in's part in SGLang's resolution of its settings: in the process that is started, before it has any child."""
import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sglang.srt.arg_groups.overrides import declare_resolution, model_config_of, resolving_view
from sglang.srt.arg_groups.resolution_hooks import register_resolution_hook
from sglang.srt.plugins.hook_registry import HookRegistry, HookType
from sglang.srt.runtime_context import attention_backends, derive_attn_tp_size, get_parallel
from sglang.srt.utils.common import get_device_memory_capacity

from vortex.errors import ModelError, VortexError
from vortex.serving.checkpoint import first_line
from vortex.serving.sglang.facts import facts_of
from vortex.serving.sglang.models import ModelFacts
from vortex.serving.sglang.plugin import NAME
from vortex.serving.sglang.preflight import concerned, index_of, prepare, settle
from vortex.serving.sglang.settings import Settings, read_settings

EARLY = "handle_cuda_graph_config"        # the model is known, and neither backend nor page size are decided
LATE = "validate_deepep_v2_dispatch_token_budget"     # the last step that can be wrapped
CELL = "sglang.srt.model_executor.pool_configurator.DefaultPoolConfigurator._compute_cell_size"


def install_resolution(settings: Settings) -> None:
    """Once in a process, before SGLang applies its hooks."""
    register_resolution_hook(EARLY)(_early)
    register_resolution_hook(LATE)(_late)
    HookRegistry.register(CELL, lambda cell, _, pools, layers: _with_summaries(cell, settings, pools), HookType.AFTER)


def _early(server_args: Any, previous: Any) -> None:
    """Settings are read again: a process may start one engine after another."""
    view = resolving_view(server_args)
    with _refusing():
        settings = read_settings()
        if settings is not None and concerned(view):
            start = prepare(settings, view, _model(server_args, view))
            declare_resolution(server_args, NAME, **start.told)
            os.environ.update(start.settings.put(_folder(start.settings)))
            for note in start.notes:
                _say(note)
    previous(server_args)


def _late(server_args: Any, previous: Any) -> None:
    previous(server_args)
    view = resolving_view(server_args)
    with _refusing():
        settings = read_settings()
        if settings is not None and view.attention_backend == NAME:
            config = model_config_of(server_args)
            item = 1 if str(view.kv_cache_dtype).startswith("fp8") else config.dtype.itemsize
            _say(settle(settings, _model(server_args, view), view, item=item, room=_room(view)))


def _model(server_args: Any, view: Any) -> ModelFacts:
    try:
        config = model_config_of(server_args)
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise ModelError(f"SGLang cannot read the config of {view.model_path!r}: {first_line(error)}",
                         hint="A model is a folder with a config.json, or a Hugging Face id.") from error
    return facts_of(config, derive_attn_tp_size(tp_size=view.tp_size, attn_cp_size=view.attn_cp_size,
                                                attn_dp_size=view.attn_dp_size))


def _room(view: Any) -> int | None:
    """Bytes of one device for pool and summaries, as near as is known before weights are loaded."""
    capacity = get_device_memory_capacity(view.device)
    if capacity is None or view.mem_fraction_static is None:
        return None
    folder = Path(view.model_path)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.is_dir() else 0
    return int(capacity * (1 << 20) * view.mem_fraction_static) - weights // view.tp_size


def _with_summaries(cell: int, settings: Settings, pools: Any) -> int | None:
    """Bytes that SGLang counts for a token of its pool: those of summaries beside its own."""
    if NAME not in attention_backends() or pools.is_draft_worker:
        return None
    model = facts_of(pools.model_config, get_parallel().attn_tp_size, get_parallel().attn_tp_rank)
    return cell + index_of(settings, model, pools.kv_cache_dtype.itemsize).index


def _folder(settings: Settings) -> Path:
    """That of whoever started this, else one of this process's own."""
    if settings.folder:
        return Path(settings.folder)
    made = Path(tempfile.mkdtemp(prefix="vortex-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@contextmanager
def _refusing() -> Iterator[None]:
    """A refusal that nobody catches ends the process with its report alone."""
    try:
        yield
    except VortexError:
        sys.excepthook = _report
        raise


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, VortexError):
        sys.__excepthook__(kind, error, trace)
        return
    print(error.report(), file=sys.stderr)
    sys.exit(error.exit_code)             # in place of 1


def _say(note: str) -> None:
    print(f"{NAME}: {note}", file=sys.stderr)
