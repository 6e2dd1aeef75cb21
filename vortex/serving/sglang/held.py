"""SGLang's scheduler as commands.py asks it: to stand still, to share prefixes or not, to agree with its other ranks."""
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from sglang.srt.managers.io_struct import ContinueGenerationReqInput, PauseGenerationReqInput
from sglang.srt.runtime_context import get_parallel

from vortex.errors import EngineError


class Held:
    """The Host that commands.py speaks of."""

    def __init__(self, scheduler: Any) -> None:
        parallel = get_parallel()
        self._scheduler = scheduler
        self._sharing = not scheduler.tree_cache.disable
        self.rank = int(parallel.pp_rank * parallel.tp_size + parallel.tp_rank)

    @contextmanager
    def retracted(self) -> Iterator[None]:
        scheduler = self._scheduler
        paused: bool = scheduler._engine_paused        # by somebody else: it stays so
        scheduler.pause_generation(PauseGenerationReqInput(mode="retract"))
        try:
            yield
        finally:
            if not paused:
                scheduler.continue_generation(ContinueGenerationReqInput(torch_empty_cache=False))

    def flush(self) -> None:
        if not self._scheduler.flush_cache(empty_cache=False):
            raise EngineError("requests still hold pages", hint="Ask again in a moment.")

    def share_prefixes(self, wanted: bool) -> bool:
        on = wanted and self._sharing
        self._scheduler.tree_cache.disable = not on
        return on

    def agree(self, well: bool) -> bool:
        ranks = get_parallel().tp_size
        if ranks == 1:
            return well
        said = torch.tensor([int(well)])
        torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MIN, group=self._scheduler.tp_cpu_group)
        return bool(said.item())

    def settle(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def health(self) -> Mapping[str, Any]:
        scheduler = self._scheduler
        # A prefill that has just run, or is cut in chunks, is in no running batch yet.
        begun = {*scheduler.collect_inflight_reqs(), *filter(None, [scheduler.chunked_req])}
        return {"running": sum(not request.finished() for request in begun), "waiting": len(scheduler.waiting_queue),
                "free_tokens": int(scheduler.token_to_kv_pool_allocator.available_size())}
