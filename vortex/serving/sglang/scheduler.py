"""Commands inside SGLang's schedulers: an errand travels in its queue of requests, so that every rank carries it out between
the same two steps, whatever the engine does.
"""
from pathlib import Path
from typing import Any

from sglang.srt.plugins.hook_registry import HookRegistry, HookType
from sglang.srt.runtime_context import get_parallel

from vortex.errors import EngineError
from vortex.serving.sglang.backend import backends
from vortex.serving.sglang.commands import Commands
from vortex.serving.sglang.desk import Desk, Errand
from vortex.serving.sglang.held import Held
from vortex.serving.sglang.metrics import Metrics
from vortex.serving.sglang.settings import Settings

SCHEDULER = "sglang.srt.managers.scheduler.Scheduler"
RECEIVER = "sglang.srt.managers.scheduler_components.request_receiver.SchedulerRequestReceiver"
RUNNER = "sglang.srt.model_executor.model_runner.ModelRunner"
STEPS_A_READING = 256                     # the host reads counters of the device no more often under load

_here: list["Side"] = []                  # of this process: at most one


def install_commands(settings: Settings) -> None:
    """Once in a process, before SGLang applies its hooks."""
    before, after = HookType.BEFORE, HookType.AFTER
    HookRegistry.register(f"{SCHEDULER}.init_request_dispatcher", _hear_errands, after)
    HookRegistry.register(f"{SCHEDULER}.run_event_loop", lambda scheduler: _begin(scheduler, settings), before)
    HookRegistry.register(f"{RECEIVER}._pull_raw_reqs", _with_errands, after)
    HookRegistry.register(f"{SCHEDULER}.process_batch_result", _processed, after)
    HookRegistry.register(f"{SCHEDULER}.on_idle", _idle, before)
    HookRegistry.register(f"{RUNNER}.forward", _step_begins, before)
    HookRegistry.register(f"{RUNNER}.forward", _step_ends, after)


class Side:
    """What this process's scheduler has of ours."""

    def __init__(self, scheduler: Any, settings: Settings) -> None:
        if len(backends()) != 1:
            raise EngineError(f"a scheduler has {len(backends())} backends of flows, not one")
        self.backend = backends()[0]
        self.commands = Commands(self.backend, Held(scheduler), settings.flow(), settings.point)
        self.desk = Desk(Path(settings.folder), _replica(), _ranks()) if settings.folder and _leads() else None
        told = scheduler.metrics_collector_context
        self._metrics = Metrics(told.collector.labels) if told.current_scheduler_metrics_enabled else None
        self._read_at = (-1, -1)
        if self.desk is not None and scheduler.idle_sleeper is not None:
            scheduler.idle_sleeper.poller.register(self.desk.bell)

    def publish(self, every: int = 1) -> None:
        """To the metrics page, where `every` steps have gone since the last time."""
        counters = self.backend.counters
        steps, swaps = self._read_at
        if self._metrics is not None and (counters.steps >= steps + every or counters.swaps != swaps):
            self._metrics.publish(self.commands.told())
            self._read_at = counters.steps, counters.swaps


def _leads() -> bool:
    """Whether requests come into SGLang here, and control ones are heard: with attention data parallel, from rank 0 alone."""
    parallel = get_parallel()
    if parallel.pp_rank or parallel.attn_tp_rank or parallel.attn_cp_rank:
        return False
    return not parallel.attn_dp_enabled or parallel.tp_rank == 0


def _ranks() -> range:
    parallel = get_parallel()
    return range(parallel.pp_size * parallel.tp_size)


def _replica() -> int:
    parallel = get_parallel()
    return 0 if parallel.attn_dp_enabled else parallel.dp_rank or 0


def _begin(scheduler: Any, settings: Settings) -> None:
    if backends():
        _here.append(Side(scheduler, settings))


def _hear_errands(_: None, scheduler: Any) -> None:
    def vortex(request: str, folder: str) -> None:
        _here[0].commands.carry_out(request, folder)

    def errand(sent: Errand) -> None:
        vortex(sent.request, sent.folder)

    scheduler.vortex = vortex             # for the offline engine's collective_rpc
    scheduler._request_dispatcher._mapping[Errand] = errand       # it takes none later


def _with_errands(pulled: list[Any] | None, receiver: object) -> list[Any] | None:
    if pulled is None or not _here or _here[0].desk is None:
        return None
    return [*pulled, *_here[0].desk.taken()]


def _processed(_: None, scheduler: Any, batch: Any, result: object) -> None:
    if not _here:
        return
    side = _here[0]
    if side.commands.clock is not None:
        side.commands.clock.result(len(batch.reqs), batch.forward_mode.is_decode())
    side.publish(STEPS_A_READING)


def _idle(scheduler: Any) -> None:
    if not _here:
        return
    if _here[0].commands.clock is not None:
        _here[0].commands.clock.idle()
    _here[0].publish()


def _step_begins(runner: Any, forward_batch: Any, *rest: object, **named: object) -> None:
    audit = _audit(runner)
    if audit is not None and forward_batch.out_cache_loc is not None:
        audit.begun(_here[0].backend.served, forward_batch.out_cache_loc)


def _step_ends(_: object, runner: Any, forward_batch: Any, *rest: object, **named: object) -> None:
    audit = _audit(runner)
    if audit is not None and forward_batch.forward_mode.is_decode():
        slots = runner.req_to_token_pool.req_to_token[forward_batch.req_pool_indices]
        audit.check(_here[0].backend.served, slots, forward_batch.seq_lens)


def _audit(runner: Any) -> Any:
    """Open, for this runner, with a flow in service; else None."""
    if not _here or _here[0].backend.runner is not runner or _here[0].backend.served is None:
        return None
    return _here[0].commands.audit
