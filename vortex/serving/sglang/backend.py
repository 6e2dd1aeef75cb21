"""The attention backend: prefill and dense layers are SGLang's own, layers that select are the Program's.

One backend owns both phases, because a page's summaries are written by the step that completes it, whichever that is.
"""
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from sglang.srt.layers.attention.base_attn_backend import AttentionBackend, SharedReadEnds
from sglang.srt.layers.radix_attention import RadixAttention
from sglang.srt.mem_cache.memory_pool import KVWriteLoc
from sglang.srt.model_executor.forward_batch_info import ForwardBatch, ForwardMode
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.model_executor.runner_utils.capture_mode import get_capture_attention_variant
from sglang.srt.runtime_context import get_disagg, get_parallel

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.recording import Recorder
from vortex.serving.sglang.arrivals import Arrivals, complete_blocks
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.dense import Dense, check_scales, dense_of
from vortex.serving.sglang.dense_rule import DENSE, DenseRule
from vortex.serving.sglang.facts import full_layers, shape_of, share_of_rank
from vortex.serving.sglang.making import Making
from vortex.serving.sglang.pools import Pages
from vortex.serving.sglang.recapture import drop_graphs, take_graphs
from vortex.serving.sglang.seeds import seed_of
from vortex.serving.sglang.served import Batch, DecodeStep, Served, block_tables, completed, completed_by_slot
from vortex.serving.sglang.settings import Settings

if TYPE_CHECKING:
    from vortex.serving.sglang.captured import CapturedGraphs, CapturedStep

_alive: list["VortexBackend"] = []        # of this process: what the scheduler's commands speak to


def make_backend(runner: ModelRunner, settings: Settings) -> "VortexBackend":
    """Raises EngineError, BudgetError, CompileError for what cannot be served."""
    backend = VortexBackend(runner, settings.folder)
    backend.use(settings.flow(), settings.point)
    _alive.append(backend)
    return backend


def backends() -> tuple["VortexBackend", ...]:
    return tuple(_alive)


class VortexBackend(AttentionBackend):
    """See SGLang's AttentionBackend for the contract. `folder` is the run's, or empty. Raises EngineError."""

    needs_cpu_seq_lens = True

    def __init__(self, runner: ModelRunner, folder: str = "") -> None:
        super().__init__()
        self.runner = runner
        self.folder = folder
        self.device = torch.device(runner.device)
        self.req_to_token_pool = runner.req_to_token_pool
        self.token_to_kv_pool = runner.token_to_kv_pool
        self.shape = shape_of(runner)
        self.share = share_of_rank(runner)
        self.dense: Dense = dense_of(runner, self.shape.kv_lora_rank)
        self.served: Served | None = None
        self.graphs: CapturedGraphs | None = None
        self.recorder: Recorder | None = None
        self.counters = Counters(device=self.device)
        self.extend_dummy_seqs_capped_by_req_pool = self.dense.backend.extend_dummy_seqs_capped_by_req_pool
        self._making = Making(shape=self.shape, share=self.share, full=full_layers(runner.model_config), pages=self._pages,
                              device=self.device, page=runner.page_size, attention_dp=get_parallel().attn_dp_enabled)
        self._arrivals = Arrivals()
        self._step: DecodeStep | CapturedStep | None = None
        self._owed = False                # graphs were let go, and taking them anew has not succeeded yet
        self._prepared: set[int] = set()  # sizes that the engine's backend has been prepared to be captured for
        self._done = torch.zeros(0, dtype=torch.int64, device=self.device)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        """Serves another flow from the next step on; None: dense. Its summaries are written anew from the pages.

        Raises EngineError, BudgetError, CompileError; then what was served before goes on. Where there are CUDA graphs none
        may be replayed until `recapture`.
        """
        intended = None if graph is None else self._making.intended(graph, point)
        if intended is not None:
            check_scales(self.runner)
            self._check_room(intended.bytes)
        self.served, self.graphs, self._step = None, None, None            # memory is given back before more is taken
        if intended is not None:
            self.served = intended.furnish()
            self.graphs = self._graphs_of(self.served)

    def recapture(self) -> None:
        """Takes the CUDA graphs anew, where there are any; on all ranks at once, while nothing runs."""
        self._owed = drop_graphs(self.runner) or self._owed
        if self._owed:
            take_graphs(self.runner)
            self._owed = False

    def _check_room(self, wanted: int) -> None:
        if self.device.type != "cuda":
            return
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device)
        free += (0 if self.served is None else self.served.summaries.bytes) - torch.cuda.memory_allocated(self.device)
        if wanted > free:
            raise EngineError(f"the flow's summaries take {wanted / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free",
                              hint="Start the server with a lower --mem-fraction-static, or choose a flow that keeps less.")

    def _graphs_of(self, served: Served) -> "CapturedGraphs | None":
        if self.device.type != "cuda":
            return None
        from vortex.serving.sglang.captured import CapturedGraphs  # Triton, which SGLang on a CPU does without

        longest = -(-self.req_to_token_pool.req_to_token.shape[1] // served.point.block_size)
        return CapturedGraphs(served, min(longest, self._blocks(served)), self.device, self.counters)

    def _blocks(self, served: Served) -> int:
        """Of the pool."""
        return served.pages.k(min(served.layers.select, default=0)).shape[1]

    def _pages(self, block_size: int) -> Pages:
        pool = self.token_to_kv_pool
        return Pages(keys=pool.get_key_buffer, values=pool.get_value_buffer, block_size=block_size,
                     latent=self.shape.kv_lora_rank > 0)

    def judge_by(self, rule: DenseRule) -> None:
        """Another rule from the next step on."""
        if self.served is not None:
            self.served = replace(self.served, rule=rule)

    def summarise_all(self) -> None:
        """Writes all summaries anew from the pages."""
        if self.served is not None:
            self.served.rebuild(torch.arange(1, self._blocks(self.served), device=self.device))

    # A step made anew

    def init_forward_metadata(self, forward_batch: ForwardBatch) -> None:
        self.dense.backend.init_forward_metadata(forward_batch)
        self._step = None
        if self.served is None or forward_batch.out_cache_loc is None:
            return
        find = completed if self.device.type == "cpu" else completed_by_slot
        self._done = find(forward_batch.out_cache_loc, self.served.point.block_size)
        if forward_batch.forward_mode.is_decode():
            batch = self._batch(forward_batch, self.served.point.block_size)
            self._receive(self.served, batch.names, batch.lens, forward_batch.req_pool_indices)
            self._step = DecodeStep(served=self.served, batch=batch, recorder=self.recorder, counters=self.counters)

    def _batch(self, forward_batch: ForwardBatch, block_size: int) -> Batch:
        """Without the rows that SGLang pads batches with: those have no names."""
        lens = tuple(_host_lens(forward_batch))
        names = tuple(("",) * len(lens) if forward_batch.rids is None else forward_batch.rids)
        return self._named(names, lens[:len(names)], forward_batch.req_pool_indices, block_size)

    def _named(self, names: tuple[str, ...], lens: tuple[int, ...], rows: torch.Tensor, block_size: int) -> Batch:
        slots = self.req_to_token_pool.req_to_token[:, :max(lens)][rows[:len(names)]]
        return Batch(names=names, lens=lens, seeds=tuple(map(self._seed, names)), tables=block_tables(slots, lens, block_size))

    def _seed(self, name: str) -> int:
        return self.share.seed(seed_of(name))

    def _receive(self, served: Served, names: tuple[str, ...], lens: tuple[int, ...], rows: torch.Tensor) -> None:
        """Summarises the pages of requests that were prefilled by another server; `rows` of SGLang's table are on the device."""
        if get_disagg().disaggregation_mode != "decode":
            return
        joined = self._arrivals.strangers(names)
        if joined:                            # few steps: others do not wait for the device
            size = served.point.block_size
            batch = self._named(tuple(names[row] for row in joined), tuple(lens[row] for row in joined), rows[joined], size)
            served.rebuild(complete_blocks(batch.tables, batch.lens, size, range(len(joined))))

    # A step captured in a CUDA graph

    def init_cuda_graph_state(self, max_bs: int, max_num_tokens: int) -> None:
        self.dense.backend.init_cuda_graph_state(max_bs, max_num_tokens)
        self._prepared.clear()
        if self.graphs is not None:
            self.graphs.forget()

    def get_cuda_graph_seq_len_fill_value(self) -> int:
        return int(self.dense.backend.get_cuda_graph_seq_len_fill_value())

    def get_cpu_graph_seq_len_fill_value(self) -> int:
        """Of padded rows in eager batches too: a request of one token."""
        return 1

    def choose(self, forward_batch: ForwardBatch) -> str:
        """Which of its graphs a batch replays; SGLang asks before it prepares the replay."""
        assert self.graphs is not None and self.served is not None
        lens = None if forward_batch.seq_lens_cpu is None else forward_batch.seq_lens_cpu.tolist()
        names = forward_batch.rids or ()
        return self.graphs.choose(names, lens, self.served.rule)

    def init_forward_metadata_out_graph(self, forward_batch: ForwardBatch, in_capture: bool = False) -> None:
        graphs, self._step = self.graphs, None
        if graphs is None or not forward_batch.forward_mode.is_decode():
            self.dense.backend.init_forward_metadata_out_graph(forward_batch, in_capture)
            return
        requests = int(forward_batch.batch_size)
        if in_capture:
            graphs.expect(dense=get_capture_attention_variant() == DENSE)
        else:
            self._replayed(graphs, forward_batch)
        self._step = graphs.step(requests)
        self._step.dense = graphs.dense
        if self._needs_dense(self._step):
            # Both graphs of a size read what it was prepared with once: a second time it would forget the first.
            self.dense.backend.init_forward_metadata_out_graph(forward_batch, in_capture and requests not in self._prepared)
            self._prepared.add(requests)

    def _replayed(self, graphs: "CapturedGraphs", forward_batch: ForwardBatch) -> None:
        """What the host does beside the engine's own preparations of a replay."""
        assert self.served is not None
        graphs.replay(int(forward_batch.batch_size), self._seed)
        if graphs.lens:
            self._receive(self.served, graphs.names, graphs.lens, forward_batch.req_pool_indices)

    def init_forward_metadata_in_graph(self, forward_batch: ForwardBatch) -> None:
        step = self._step
        if step is not None and not isinstance(step, DecodeStep):
            step.begin(forward_batch.seq_lens, forward_batch.req_pool_indices, forward_batch.out_cache_loc,
                       self.req_to_token_pool.req_to_token)
            self._done = step.done
        if step is None or self._needs_dense(step):
            self.dense.backend.init_forward_metadata_in_graph(forward_batch)

    def _needs_dense(self, step: "DecodeStep | CapturedStep") -> bool:
        """Is some layer of the step the engine's?"""
        assert self.served is not None
        layers = self.served.layers
        return step.dense or len(layers.select | layers.reuse) < self.shape.layers

    def shared_read_ends(self, fm: ForwardMode) -> SharedReadEnds:
        ends = self.dense.backend.shared_read_ends(fm)
        return SharedReadEnds.max_of([ends, super().shared_read_ends(fm)])

    # Layers

    def forward_extend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
                       forward_batch: ForwardBatch, save_kv_cache: bool = True, **kwargs: Any) -> torch.Tensor:
        out = self.dense.extend(q, k, v, layer, forward_batch, save_kv_cache, **kwargs)
        self._summarise(layer)
        return out

    def forward_decode(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
                       forward_batch: ForwardBatch, save_kv_cache: bool = True, **kwargs: Any) -> torch.Tensor:
        step = self._step
        if step is None or not step.sparse(layer.layer_id):
            out = self.dense.decode(q, k, v, layer, forward_batch, save_kv_cache, **kwargs)
            self._summarise(layer)
            if isinstance(step, DecodeStep):
                step.note(layer.layer_id, self._rows(q, layer)[:len(step.batch.lens)])
            return out
        if save_kv_cache:
            self.token_to_kv_pool.set_kv_buffer(layer, KVWriteLoc(forward_batch.out_cache_loc, None), k, v)
        self._summarise(layer)
        return self._attended(step, self._rows(q, layer), layer).reshape(q.shape[0], -1)

    def _attended(self, step: "DecodeStep | CapturedStep", rows: torch.Tensor, layer: RadixAttention) -> torch.Tensor:
        """Zeros for rows that SGLang pads a batch with."""
        count = len(step.batch.lens) if isinstance(step, DecodeStep) else rows.shape[0]
        found = step.attend(layer.layer_id, rows[:count], layer.scaling)
        return found if count == rows.shape[0] else torch.cat([found, found.new_zeros(rows.shape[0] - count, *found.shape[1:])])

    def _rows(self, q: torch.Tensor, layer: RadixAttention) -> torch.Tensor:
        """[B, H, G, D]."""
        return q.reshape(-1, layer.tp_k_head_num, layer.tp_q_head_num // layer.tp_k_head_num, layer.qk_head_dim)

    def _summarise(self, layer: RadixAttention) -> None:
        if self.served is not None:
            self.served.summarise(layer.layer_id, self._done)

    def support_triton(self) -> bool:
        return bool(self.dense.backend.support_triton())

    @property
    def forward_metadata(self) -> Any:
        """The engine's own backend's: SGLang forgets it for idle ranks."""
        return self.dense.backend.forward_metadata

    @forward_metadata.setter
    def forward_metadata(self, value: Any) -> None:
        self.dense.backend.forward_metadata = value


def _host_lens(forward_batch: ForwardBatch) -> list[int]:
    """Waits for the device where SGLang keeps none on the host."""
    lens = forward_batch.seq_lens if forward_batch.seq_lens_cpu is None else forward_batch.seq_lens_cpu
    found: list[int] = lens.tolist()
    return found
