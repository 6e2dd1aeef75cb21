"""SGLang's engine as a library, with the upstream's flat names; refusals before it has a child. One engine is started."""
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sglang.asks import GREEDY, TOKENS, Tokens
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.python import find_python
from vortex.serving.sglang.settings import VARIABLE

SCRIPT = Path(__file__).parent / "offline.py"
EVERYTHING = {"enable_vortex_sparsity": True, "vortex_module_name": "quest", "vortex_topk_val": 500}
SERVER = {"skip_tokenizer_init": True, "max_total_tokens": 8192, "max_running_requests": 8, "log_level": "warning",
          "enable_deterministic_inference": True}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"page_size": 24}, "EngineError", "a page of 24 tokens is no whole number of blocks of 16"),
    ({"speculative_algorithm": "NGRAM"}, "EngineError", "--speculative-algorithm NGRAM"),
    ({"enable_mixed_chunk": True}, "EngineError", "--enable-mixed-chunk"),
    ({"vortex_module_name": "mla-centroid"}, "EngineError", "for latent attention (MLA)"),
    ({"vortex_module_name": "nobody"}, "FlowNotFound", "there is no flow 'nobody'"),
    ({"vortex_layers_skip": [3]}, "EngineError", "layers_skip names layer 3"),
    ({"mem_fraction_static": 1e-6, "max_total_tokens": None}, "EngineError", "of summaries"),
]


@dataclass(frozen=True)
class Done:
    refused: list[list[str]]
    tokens: Tokens
    said: str


@pytest.fixture(scope="module")
def done(models: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("offline")
    job, answers = folder / "job.json", folder / "answers.json"
    asks = {"input_ids": [request.tokens for request in GREEDY],
            "sampling_params": {"max_new_tokens": TOKENS, "temperature": 0, "ignore_eos": True}}
    job.write_text(json.dumps({"model": models("qwen3"), "refused": [wrong for wrong, _, _ in REFUSED],
                               "engine": SERVER | EVERYTHING, "asks": asks}))
    ran = subprocess.run([find_python().path, str(SCRIPT), str(job), str(answers)], env={**os.environ, **cpu_environment()},
                         capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(answers.read_text())
    return Done(told["refused"], [tuple(one) for one in told["tokens"]], ran.stderr)


def test_with_every_block_kept_the_tokens_are_sglangs_own(done: Done, own_tokens: Callable[[str], list[Tokens]]) -> None:
    assert done.tokens == own_tokens("qwen3")[0]


def test_what_cannot_be_served_is_refused_in_the_process_that_asked(done: Done) -> None:
    assert len(done.refused) == len(REFUSED)
    for (code, message), (_, kind, what) in zip(done.refused, REFUSED, strict=True):
        assert code == kind and what in message


def test_the_memory_of_summaries_is_told_once(done: Done) -> None:
    told = [line for line in done.said.splitlines() if line.startswith("vortex: ")]
    assert told == ["vortex: summaries take 48 bytes a token beside 1536 of keys and values (3.0% of both), 384.0 KiB for 8192 "
                    "tokens"]


def test_a_server_whose_settings_are_refused_ends_with_the_report_alone(models: Callable[[str], str]) -> None:
    words = [find_python().path, "-m", "sglang.launch_server", "--model-path", models("qwen3"), "--device", "cpu",
             "--attention-backend", "vortex", "--page-size", "24"]
    ran = subprocess.run(words, env={**os.environ, **cpu_environment(), VARIABLE: "quest"}, capture_output=True, text=True)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert ran.stderr.endswith("EngineError\n  a page of 24 tokens is no whole number of blocks of 16\n"
                               "  Leave --page-size out, or give a multiple of 16.\n")
