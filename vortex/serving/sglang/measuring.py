"""When to attend densely, measured on the graphs that are replayed: whole steps of made-up requests, before any real one."""
import logging
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sglang.srt.runtime_context import get_parallel

from vortex.serving.sglang.backend import VortexBackend
from vortex.serving.sglang.break_even import Room, measured, sizes_for
from vortex.serving.sglang.dense_rule import DENSE, measures
from vortex.serving.sglang.versions import check_version

_log = logging.getLogger(__name__)
WARM, TIMED = 3, 7                        # replays of a graph before it is timed, and those that are
TABLE = "dense_table.json"                # in the folder of a run


def measure(runner: Any, backend: VortexBackend) -> None:
    """Sets the backend's rule from what its graphs take; a `runner` of decode graphs has just captured them."""
    served = backend.served
    if backend.graphs is None or served is None or not measures(served.graph, served.point):
        return
    began, replays = time.perf_counter(), Replays(runner, backend)
    with replays.made_up(), backend.counters.apart():
        found = measured(replays.seconds, sizes_for(runner.capture_bs), replays.room, _of_first_rank)
    backend.judge_by(found.rule)
    about = {"flow": served.graph.name, "chip": torch.cuda.get_device_name(), "dense": backend.dense.name,
             "sglang": check_version(), "torch": torch.__version__, "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}
    if backend.folder and not get_parallel().tp_rank:
        found.keep(Path(backend.folder) / TABLE, about)
    _log.info("steps attend densely below so many tokens, by batch size: %s (measured in %.1f s)", found,
              time.perf_counter() - began)


def _of_first_rank(verdict: bool) -> bool:
    """Ranks choose alike, though their clocks differ."""
    group = get_parallel().tp_group
    if group.world_size == 1:
        return verdict
    told = torch.tensor([int(verdict)])
    torch.distributed.broadcast(told, group.ranks[0], group=group.cpu_group)
    return bool(told.item())


class Replays:
    """Captured steps on requests that nobody sent: they write to slot 1, which no request is given, and read where they may."""

    def __init__(self, runner: Any, backend: VortexBackend) -> None:
        self._runner = runner
        self._backend = backend
        self._table = backend.req_to_token_pool.req_to_token
        self._slots = int(backend.runner.max_total_num_tokens)
        assert backend.served is not None
        self.room = Room(pool=self._slots, request=min(self._table.shape[1], backend.shape.max_tokens),
                         block_size=backend.served.point.block_size)

    @contextmanager
    def made_up(self) -> Iterator[None]:
        """Tables and summaries are made up while it is open: equal scores would be chosen from in no usual time."""
        backend, served = self._backend, self._backend.served
        before = self._table[:1 + max(self._runner.capture_bs)].clone()
        # Linear layers of hybrid models: rows of nobody must not write where somebody's state is kept for the prefix cache.
        states = getattr(backend.req_to_token_pool, "req_index_to_mamba_index_mapping", before.new_zeros(0))
        kept = states.clone()
        states.zero_()
        assert served is not None
        for named in served.summaries.fields.values():
            for tensor in named.values():
                if tensor.is_floating_point() and tensor.itemsize > 1:
                    tensor.normal_()
        try:
            yield
        finally:
            self._table[:before.shape[0]] = before
            states.copy_(kept)
            self._runner.buffers.reset_index_buffers()
            self._lengthen(self._runner.seq_len_fill_value)
            backend.summarise_all()

    def seconds(self, requests: int, context: int, label: str) -> float:
        """Of one replay, the median; after SGLang's own preparations, which the host does meanwhile."""
        runner = self._runner
        self._seat(requests, context)
        assert self._backend.graphs is not None
        self._backend.graphs.expect(dense=label == DENSE)
        with runner.model_context():
            batch, attention, _ = runner.capture_prepare(requests)
            attention.init_forward_metadata_out_graph(batch)
            key = runner._make_graph_key(requests, attention_variant=label,
                                         variant_label="nolora" if runner.record_nolora_graph else None)
            return _median([lambda: runner.backend.replay(key, batch)] * (WARM + TIMED))

    def _seat(self, requests: int, context: int) -> None:
        page, device = int(self._backend.runner.page_size), self._table.device
        pages = max(1, self._slots // page)
        places = torch.arange(context, device=device)
        for row in range(requests):
            first = row * -(-context // page)
            self._table[row + 1, :context] = ((first + places // page) % pages + 1) * page + places % page
        buffers = self._runner.buffers
        buffers.req_pool_indices[:requests] = torch.arange(1, requests + 1, device=device)
        buffers.out_cache_loc[:requests] = 1
        buffers.positions[:requests] = context - 1
        self._lengthen(context)

    def _lengthen(self, tokens: int) -> None:
        self._runner.buffers.seq_lens.fill_(tokens)
        self._runner.buffers.seq_lens_cpu.fill_(tokens)


def _median(replays: list[Any]) -> float:
    spans = []
    for replay in replays:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]  # torch
        start.record()
        replay()
        end.record()
        end.synchronize()
        spans.append(start.elapsed_time(end) / 1000)
    return statistics.median(spans[WARM:])
