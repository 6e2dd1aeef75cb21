"""CUDA graphs taken anew: those there are read and write what another flow does not have."""
import gc
import logging

import torch
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.model_executor.runner import set_global_graph_memory_pool

_log = logging.getLogger(__name__)


def drop_graphs(runner: ModelRunner) -> bool:
    """Lets go of the decode graphs and of the memory they hold; were there any? No step may run before they are taken again."""
    decode = runner.decode_cuda_graph_runner
    if decode is None or decode is runner.eager_runner:
        return False
    torch.cuda.synchronize()
    decode.backend.cleanup()
    runner.decode_cuda_graph_runner = None
    # Prefill graphs share the memory pool and keep it alive; one that nobody uses cannot be captured into again.
    if runner.prefill_cuda_graph_runner in (None, runner.eager_runner):
        set_global_graph_memory_pool(None)
    gc.collect()
    torch.cuda.empty_cache()
    return True


def take_graphs(runner: ModelRunner) -> None:
    """On all ranks at once: ranks wait for each other."""
    runner.init_decode_cuda_graph()
    _log.info("decode graphs of %s requests are taken anew", runner.decode_cuda_graph_capture_bs)
