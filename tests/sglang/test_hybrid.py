"""Hybrid models: flows select in the layers that attend in full, and linear layers are SGLang's.

No engine runs: SGLang's linear attention has no kernels for CPUs. What does run is SGLang's config, pool and hybrid backend.
"""
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen3NextConfig

from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.python import find_python

SCRIPT = Path(__file__).parent / "hybrid.py"
FULL = [1, 3]
HEADS, BLOCKS = 2, 7


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hybrid")
    Qwen3NextConfig(num_hidden_layers=4, layer_types=["linear_attention", "full_attention"] * 2, hidden_size=128, head_dim=32,
                    num_attention_heads=8, num_key_value_heads=2, vocab_size=512, max_position_embeddings=4096,
                    full_attention_interval=2, architectures=["Qwen3NextForCausalLM"]).save_pretrained(folder)
    answers = folder / "answers.json"
    ran = subprocess.run([find_python().path, str(SCRIPT), str(folder), str(answers)], env={**os.environ, **cpu_environment()},
                         capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(answers.read_text())
    return found


def test_layers_that_attend_in_full_are_known_by_the_models_numbers(told: dict[str, Any]) -> None:
    assert (told["kind"], told["full"]) == ("qwen3_next", FULL)


def test_only_they_keep_summaries_and_choose(told: dict[str, Any]) -> None:
    assert told["summaries"] == [FULL, FULL]
    everything, tight = told["layers"]
    assert everything == [[layer, [list(range(BLOCKS))] * HEADS] for layer in FULL]
    assert [layer for layer, _ in tight] == FULL
    assert all(len(blocks) == 1 + 1 + 2 for _, lists in tight for blocks in lists)


def test_with_every_block_kept_they_attend_as_dense_attention_does(told: dict[str, Any]) -> None:
    assert told["same"] == [[True, True], [False, False]]


def test_other_layers_are_not_ours(told: dict[str, Any]) -> None:
    assert told["linear"] == [0, 2] * 2
