"""The attention backend: prefill and dense layers are SGLang's own, layers that select are the Program's.

One backend owns both phases, because a page's summaries are written by the step that completes it, whichever that is.
"""
from typing import Any

import torch
from sglang.srt.layers.attention.base_attn_backend import AttentionBackend
from sglang.srt.layers.radix_attention import RadixAttention
from sglang.srt.mem_cache.memory_pool import KVWriteLoc
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.runtime_context import get_disagg

from vortex.compiler.pipeline import compile as compile_flow
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.layers import check_point
from vortex.serving.recording import Recorder
from vortex.serving.sglang.arrivals import Arrivals, complete_blocks
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.dense import dense_backend
from vortex.serving.sglang.dense_rule import NEVER, DenseRule, fixed_rule
from vortex.serving.sglang.facts import shape_of, share_of_rank
from vortex.serving.sglang.pools import Pages, SummaryShape
from vortex.serving.sglang.seeds import seed_of
from vortex.serving.sglang.served import Batch, DecodeStep, Served, block_tables, completed
from vortex.serving.sglang.settings import Settings

_alive: list["VortexBackend"] = []        # of this process: what the scheduler's commands speak to


def make_backend(runner: ModelRunner, settings: Settings) -> "VortexBackend":
    """Raises EngineError, BudgetError, CompileError for what cannot be served."""
    backend = VortexBackend(runner, dense_backend(runner))
    backend.use(settings.flow(), settings.point)
    _alive.append(backend)
    return backend


def backends() -> tuple["VortexBackend", ...]:
    return tuple(_alive)


class VortexBackend(AttentionBackend):
    """See SGLang's AttentionBackend for the contract. `dense` is the engine's own backend for the model."""

    needs_cpu_seq_lens = True

    def __init__(self, runner: ModelRunner, dense: AttentionBackend) -> None:
        super().__init__()
        self.runner = runner
        self.dense = dense
        self.device = torch.device(runner.device)
        self.req_to_token_pool = runner.req_to_token_pool
        self.token_to_kv_pool = runner.token_to_kv_pool
        self.shape = shape_of(runner)
        self.share = share_of_rank(runner)
        self.served: Served | None = None
        self.recorder: Recorder | None = None
        self.counters = Counters(device=self.device)
        self._step: DecodeStep | None = None
        self._arrivals = Arrivals()
        self._done = torch.zeros(0, dtype=torch.int64, device=self.device)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        """Serves another flow from the next step on; None: dense. Its summaries are written anew from the pages.

        Raises EngineError, BudgetError, CompileError; what was served before then goes on.
        """
        self.served = None if graph is None else self._made(graph, point)
        self._step = None

    def _made(self, graph: Graph, point: OperatingPoint) -> Served:
        graph, point = self.share.graph(graph), self.share.point(point)
        if graph.geometry != self.shape.geometry(point.block_size):
            raise EngineError(f"the flow was traced for {graph.geometry}, and a rank of this server has "
                              f"{self.shape.geometry(point.block_size)}",
                              hint="Trace it for the model that is served, at this block size and tensor parallel size.")
        layers = check_point(point, graph, self.shape)
        program = compile_flow(graph, point, self.device.type)
        pages = self._pages(point)
        heads, blocks = pages.k(min(layers.select, default=0)).shape[:2]
        shape = SummaryShape(heads=heads, blocks=blocks, layers=layers.select)
        served = Served(graph=graph, point=point, program=program, layers=layers, pages=pages, rule=self._rule(graph, point),
                        summaries=shape.make(graph, point, self.device))
        served.rebuild(torch.arange(1, blocks, device=self.device))
        return served

    def _pages(self, point: OperatingPoint) -> Pages:
        pool = self.token_to_kv_pool
        return Pages(keys=pool.get_key_buffer, values=pool.get_value_buffer, block_size=point.block_size,
                     latent=self.shape.kv_lora_rank > 0)

    def _rule(self, graph: Graph, point: OperatingPoint) -> DenseRule:
        if point.dense_below == "never":
            return NEVER
        # What state holds depends on every step.
        return DenseRule() if graph.states or not isinstance(point.dense_below, int) else fixed_rule(point.dense_below)

    def init_forward_metadata(self, forward_batch: ForwardBatch) -> None:
        self.dense.init_forward_metadata(forward_batch)
        self._step = None
        if self.served is None or forward_batch.out_cache_loc is None:
            return
        self._done = completed(forward_batch.out_cache_loc, self.served.point.block_size)
        if forward_batch.forward_mode.is_decode():
            batch = self._batch(forward_batch)
            self._receive(self.served, batch)
            self._step = DecodeStep(served=self.served, batch=batch, recorder=self.recorder, counters=self.counters)

    def _receive(self, served: Served, batch: Batch) -> None:
        """Summarises the pages of requests that were prefilled by another server."""
        if get_disagg().disaggregation_mode == "decode":
            rows = self._arrivals.strangers(batch.names)
            served.rebuild(complete_blocks(batch.tables, batch.lens, served.point.block_size, rows))

    def _batch(self, forward_batch: ForwardBatch) -> Batch:
        assert self.served is not None
        lens = tuple(forward_batch.seq_lens_cpu.tolist())
        names = tuple(forward_batch.rids or ("",) * len(lens))
        slots = self.req_to_token_pool.req_to_token[forward_batch.req_pool_indices]
        return Batch(names=names, lens=lens, seeds=tuple(self.share.seed(seed_of(name)) for name in names),
                     tables=block_tables(slots, lens, self.served.point.block_size))

    def forward_extend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
                       forward_batch: ForwardBatch, save_kv_cache: bool = True, **kwargs: Any) -> torch.Tensor:
        out = self.dense.forward_extend(q, k, v, layer, forward_batch, save_kv_cache, **kwargs)
        self._summarise(layer)
        return out

    def forward_decode(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
                       forward_batch: ForwardBatch, save_kv_cache: bool = True, **kwargs: Any) -> torch.Tensor:
        step = self._step
        if step is None or not step.sparse(layer.layer_id):
            out = self.dense.forward_decode(q, k, v, layer, forward_batch, save_kv_cache, **kwargs)
            self._summarise(layer)
            if step is not None:
                step.note(layer.layer_id, self._rows(q, layer))
            return out
        if save_kv_cache:
            self.token_to_kv_pool.set_kv_buffer(layer, KVWriteLoc(forward_batch.out_cache_loc, None), k, v)
        self._summarise(layer)
        return step.attend(layer.layer_id, self._rows(q, layer), layer.scaling).reshape(q.shape[0], -1)

    def _rows(self, q: torch.Tensor, layer: RadixAttention) -> torch.Tensor:
        """[B, H, G, D]."""
        return q.reshape(-1, layer.tp_k_head_num, layer.tp_q_head_num // layer.tp_k_head_num, layer.qk_head_dim)

    def _summarise(self, layer: RadixAttention) -> None:
        if self.served is not None:
            self.served.summarise(layer.layer_id, self._done)

    def support_triton(self) -> bool:
        return self.dense.support_triton()
