"""Our backend inside SGLang's for hybrid models, over SGLang's own pools: `hybrid.py MODEL ANSWERS`, run by its Python.

SGLang's linear attention needs kernels that no CPU wheel has: a stand-in is called in its place, and no engine is started.
"""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.layers.attention.base_attn_backend import AttentionBackend
from sglang.srt.layers.attention.hybrid_linear_attn_backend import HybridLinearAttnBackend
from sglang.srt.mem_cache.memory_pool import HybridLinearKVPool
from sglang.srt.model_executor.forward_batch_info import ForwardMode
from sglang.srt.runtime_context import get_parallel, publish
from sglang.srt.server_args import ServerArgs

from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.serving.recording import Recorder
from vortex.serving.sglang.backend import VortexBackend
from vortex.serving.sglang.facts import facts_of

PAGE, LENGTH, HEADS, GROUP, CHANNELS, POOL = 16, 100, 2, 4, 32, 256


class Linear(AttentionBackend):
    """Says that it was called."""

    needs_cpu_seq_lens = False

    def __init__(self) -> None:
        self.layers: list[int] = []

    def supports_prefill_graph_extend(self) -> bool:
        return False

    def init_forward_metadata(self, forward_batch: object) -> None:
        pass

    def forward_decode(self, q: torch.Tensor, *_: object, layer: SimpleNamespace, **__: object) -> torch.Tensor:
        self.layers.append(layer.layer_id)
        return torch.zeros_like(q)


def runner_of(config: ModelConfig, full: list[int]) -> SimpleNamespace:
    pool = HybridLinearKVPool(size=POOL, dtype=torch.float32, page_size=PAGE, head_num=HEADS, head_dim=CHANNELS,
                              full_attention_layer_ids=full, device="cpu", mamba_pool=SimpleNamespace(mem_usage=0))
    for layer in full:
        pool.get_key_buffer(layer).normal_()
        pool.get_value_buffer(layer).normal_()
    table = torch.zeros(4, 256, dtype=torch.int32)
    table[1, :LENGTH] = torch.arange(PAGE, PAGE + LENGTH)
    return SimpleNamespace(device="cpu", model_config=config, use_mla_backend=False, page_size=PAGE,
                           kv_cache_dtype=torch.float32, token_to_kv_pool=pool,
                           req_to_token_pool=SimpleNamespace(req_to_token=table))


def main() -> None:
    torch.manual_seed(0)
    model, answers = sys.argv[1], Path(sys.argv[2])
    server = ServerArgs(model_path=model, device="cpu", attention_backend="torch_native", disable_radix_cache=True)
    publish(server, role="scheduler")
    get_parallel().override_permanently(tp_rank=0, attn_tp_rank=0)
    config = ModelConfig.from_server_args(server)
    facts = facts_of(config, 1)
    full = sorted(facts.full)
    backend = VortexBackend(runner_of(config, full))
    linear = Linear()
    hybrid = HybridLinearAttnBackend(backend, linear, full)
    graph = load(*flows.read("quest")[1:], facts.shape.geometry(PAGE))
    told = {"full": full, "kind": facts.kind, "same": [], "layers": [], "summaries": []}
    for point in (OperatingPoint(engine="sglang", topk_ratio=1.0, dense_below="never"),
                  OperatingPoint(engine="sglang", topk_ratio=0.0, topk_val=1, dense_below="never")):
        backend.use(graph, point)
        backend.recorder = Recorder("selections")
        told["same"].append(decoded(hybrid, backend, facts.shape.layers))
        told["layers"].append([[event["layer"], event["lists"][0]] for event in backend.recorder.recording.events])
        told["summaries"].append(sorted(backend.served.summaries.fields))
    answers.write_text(json.dumps({**told, "linear": linear.layers}))


def decoded(hybrid: HybridLinearAttnBackend, backend: VortexBackend, layers: int) -> list[bool]:
    """One step of one request through every layer: are those that attend in full what dense attention gives?"""
    batch = SimpleNamespace(forward_mode=ForwardMode.DECODE, out_cache_loc=torch.tensor([PAGE + LENGTH - 1]), rids=["0"],
                            seq_lens=torch.tensor([LENGTH]), seq_lens_cpu=torch.tensor([LENGTH]), batch_size=1,
                            req_pool_indices=torch.tensor([1]))
    hybrid.init_forward_metadata(batch)
    same = []
    for number in range(layers):
        layer = SimpleNamespace(layer_id=number, tp_k_head_num=HEADS, tp_v_head_num=HEADS, tp_q_head_num=HEADS * GROUP,
                                qk_head_dim=CHANNELS, v_head_dim=CHANNELS, scaling=CHANNELS ** -0.5, k_scale=None, v_scale=None)
        q, k, v = torch.randn(1, HEADS * GROUP, CHANNELS), torch.randn(1, HEADS, CHANNELS), torch.randn(1, HEADS, CHANNELS)
        out = hybrid.forward_decode(layer=layer, forward_batch=batch, q=q, k=k, v=v)
        if number in hybrid.full_attn_layers:
            keys, values = (buffer(number)[PAGE:PAGE + LENGTH].transpose(0, 1) for buffer in (
                backend.token_to_kv_pool.get_key_buffer, backend.token_to_kv_pool.get_value_buffer))
            dense = torch.nn.functional.scaled_dot_product_attention(q.view(HEADS, GROUP, CHANNELS), keys, values)
            same.append(torch.allclose(out.view(HEADS, GROUP, CHANNELS), dense, atol=1e-5))
    return same


if __name__ == "__main__":
    main()
