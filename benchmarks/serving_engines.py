"""The engines that benchmarks/serving.py compares: stock SGLang with one of its backends, and SGLang with our plug-in."""
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vortex.compiler.shapes import ModelSizes
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.sglang.control import Control, addresses
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.python import find_python
from vortex.serving.sglang.settings import VARIABLE, Settings

OURS = "vortex"
DENSE_VARIABLE = "VORTEX_DENSE_BACKEND"   # of vortex/serving/sglang/dense.py, which only SGLang's Python imports
WORKER = Path(__file__).with_name("serving_worker.py")
PATIENCE_S = 900.0                        # kernels are built, graphs captured
LONGEST = 1 << 17                         # tokens a model of made-up weights may serve


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all engines of a model have in common; `tokens` is what each one's KV pool holds."""

    path: Path
    page: int
    tokens: int
    requests: int
    dtype: str
    made_up: bool = True

    def arguments(self, backend: str) -> dict[str, Any]:
        """Of sglang.Engine."""
        # Prefill is not timed, and the stand-in of sglang-kernel lacks what graphs of it ask for.
        device = {"disable_prefill_cuda_graph": True} if torch.cuda.is_available() else {
            "device": "cpu", "mem_fraction_static": 0.3, "disable_cuda_graph": True}
        return {"model_path": str(self.path), "attention_backend": backend, "page_size": self.page, "dtype": self.dtype,
                "max_total_tokens": self.tokens, "max_running_requests": self.requests, "skip_tokenizer_init": True,
                "log_level": "warning", "cuda_graph_max_bs_decode": self.requests, **device,
                **({"load_format": "dummy"} if self.made_up else {})}


class Running:
    """One that answers. `folder` has its log and, with our plug-in, the address of its schedulers."""

    def __init__(self, worker: "subprocess.Popen[str]", folder: Path) -> None:
        self._worker = worker
        self.folder = folder
        self.facts = self._answer()

    def time(self, batch: int, context: int, new: int, vocabulary: int) -> float:
        """Output tokens a second of `batch` requests that decode `new` tokens after `context`. Raises EngineError."""
        told = self._ask({"count": batch, "context": context, "new": new, "vocabulary": vocabulary, "seed": 0})
        if told["came"] != batch * new:
            raise EngineError(f"{told['came']} tokens came, not {batch * new}")
        return batch * new / float(told["seconds"])

    def tokens(self, batch: int, context: int, new: int, vocabulary: int) -> list[list[int]]:
        """What is generated, greedily."""
        asked = {"count": batch, "context": context, "new": new, "vocabulary": vocabulary, "seed": 1, "tell": True}
        found: list[list[int]] = self._ask(asked)["tokens"]
        return found

    def use(self, graph: Graph | None, point: OperatingPoint) -> float:
        """Seconds that the swap took; ours alone."""
        until = time.monotonic() + 30
        while not addresses(self.folder) and time.monotonic() < until:
            time.sleep(0.05)              # schedulers listen a moment after SGLang says that it is ready
        began = time.perf_counter()
        Control(self.folder).ask({"do": "use", "graph": graph and graph.to_json(), "point": point.model_dump(mode="json")},
                                 timeout_s=PATIENCE_S)
        return time.perf_counter() - began

    def counters(self) -> Mapping[str, Any]:
        return Control(self.folder).ask({"do": "counters"})[0]

    def _ask(self, what: Mapping[str, Any]) -> dict[str, Any]:
        assert self._worker.stdin is not None
        self._worker.stdin.write(json.dumps(what) + "\n")
        self._worker.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            self._worker.wait()
            raise EngineError(f"SGLang ended: {last_words((self.folder / 'log').read_text(errors='replace'))}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def engine(setup: Setup, backend: str, settings: Settings | None = None, dense: str = "") -> Iterator[Running]:
    """With `settings` ours, without them stock; `dense` is SGLang's backend that ours takes for dense layers and steps. All of
    its processes are gone when this closes. Raises EngineError."""
    with tempfile.TemporaryDirectory(prefix="vortex-bench-") as place:
        folder = Path(place)
        (folder / "arguments.json").write_text(json.dumps(setup.arguments(backend)))
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        environment |= {} if torch.cuda.is_available() else cpu_environment()
        environment |= {} if settings is None else settings.put(folder)
        environment |= {DENSE_VARIABLE: dense} if dense else {}
        with (folder / "log").open("w") as log:
            worker = subprocess.Popen([find_python().path, str(WORKER), str(folder / "arguments.json")], env=environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                      start_new_session=True)
        try:
            yield Running(worker, folder)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def last_words(log: str) -> str:
    """The error in a log, or its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line]
    return (told or lines or ["it said nothing"])[-1][:300]


def write_config(sizes: ModelSizes, folder: Path) -> Path:
    """A checkpoint without weights: of Qwen3's architecture, at these sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "torch_dtype": "bfloat16",
        "vocab_size": sizes.vocabulary, "hidden_size": sizes.hidden, "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim, "tie_word_embeddings": sizes.tied, "max_position_embeddings": LONGEST,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2}))
    return folder


def candidates(cuda: bool) -> Sequence[str]:
    """SGLang's dense backends that may be the fastest."""
    return ("fa3", "flashinfer", "trtllm_mha", "triton") if cuda else ("torch_native",)
