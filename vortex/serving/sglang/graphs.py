"""SGLang's CUDA graphs: two of each batch size where a rule chooses between them, measured once they are taken."""
from typing import Any

import torch
from sglang.srt.environ import envs
from sglang.srt.plugins.hook_registry import HookRegistry, HookType

from vortex.errors import EngineError
from vortex.serving.sglang.backend import VortexBackend, backends
from vortex.serving.sglang.measuring import measure

VARIANTS = "sglang.srt.layers.attention.graph_variants.create_attention_graph_variants"
RUNNER = "sglang.srt.model_executor.runner.decode_cuda_graph_runner.DecodeCudaGraphRunner"


class Variants:
    """What SGLang asks which graphs to capture, and before a step which of them to replay."""

    def __init__(self, backend: VortexBackend, labels: tuple[str, ...]) -> None:
        self.capture_labels = labels
        self._backend = backend

    def select(self, forward_batch: Any) -> str:
        return self._backend.choose(forward_batch)


def install_graphs() -> None:
    """Once in a process, before SGLang applies its hooks. Raises EngineError."""
    if envs.SGLANG_ENABLE_METADATA_GLUE_GRAPH.get():
        raise EngineError("a flow cannot be served with SGLANG_ENABLE_METADATA_GLUE_GRAPH: what the host decides before each "
                          "step would be captured once for all", hint="Leave it unset.")
    if torch.cuda.is_available():
        HookRegistry.register(VARIANTS, _variants, HookType.AROUND)
        HookRegistry.register(f"{RUNNER}.can_run_graph", _unless_recorded, HookType.AROUND)
        HookRegistry.register(f"{RUNNER}.capture", _captured, HookType.AFTER)


def _variants(original: Any, hf_config: Any) -> Any:
    for backend in backends():
        if backend.graphs is not None:
            return Variants(backend, backend.graphs.labels)
    return original(hf_config)


def _unless_recorded(original: Any, runner: Any, forward_batch: Any) -> bool:
    """A recording needs steps that pass through Python."""
    return all(backend.recorder is None for backend in backends()) and bool(original(runner, forward_batch))


def _captured(_: None, runner: Any) -> None:
    for backend in backends():
        measure(runner, backend)
