"""The benchmark of SGLang on a GPU: what it decides before and after the engines run, on figures that are made up."""
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import serving  # noqa: E402
import serving_engines  # noqa: E402
import serving_plot  # noqa: E402
import serving_worker  # noqa: E402

from vortex.compiler.shapes import MODELS  # noqa: E402
from vortex.serving.checkpoint import find_checkpoint  # noqa: E402

PLAN = serving.Plan(models=(MODELS["qwen3-1.7b"],), flows=("centroid", "quest"), chosen=(29, 125), prompt=512, output=16_384,
                    grid_batches=(1, 32), grid_contexts=(4096, 32_768), steps=128, rounds=3, most=256)
H200 = {"gpu": "NVIDIA H200", "memory_bytes": 150_000_000_000}
TOLD: dict[str, Any] = {
    "model": "qwen3-1.7b", "batch": 48, "rival": "fa3", "tried": {"fa3": 900.0, "triton": "SGLang ended"}, "swap_s": [1.0, 3.0],
    "shapes": [(48, 512, 16_384), (1, 4096, 128)], "stock": [[1000.0, 100.0], [1100.0, 100.0]],
    "ours": {"dense": [[1000.0, 99.0], [1000.0, 101.0]], "quest 29": [[4200.0, 97.0]]}}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["serving.py"])
    assert serving.main() == 2
    assert capsys.readouterr().err == "benchmarks/serving.py: there is no CUDA device here; --dry-run goes through it on a CPU\n"


def test_as_many_requests_as_fit_beside_the_largest_summaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "card", lambda: H200)
    batches = {name: serving.concurrency(PLAN, MODELS[name]) for name in ("qwen3-1.7b", "qwen3-4b", "qwen3-8b")}
    per_request = 114_688 * (512 + 16_384 + serving.SLACK)             # bytes of KV, qwen3-1.7b
    most = (serving.SHARE * H200["memory_bytes"] - 3.44e9) / per_request
    assert most * 0.85 < batches["qwen3-1.7b"] < most                  # quest keeps an eighth of it as summaries
    assert batches["qwen3-8b"] < batches["qwen3-4b"] < batches["qwen3-1.7b"]
    assert serving.concurrency(replace(PLAN, most=4), MODELS["qwen3-8b"]) == 4


def test_the_long_run_comes_first_and_cells_that_do_not_fit_are_left_out() -> None:
    assert serving.shapes(PLAN, 48) == [(48, 512, 16_384), (1, 4096, 128), (1, 32_768, 128), (32, 4096, 128)]


def test_a_flow_is_held_against_the_rival_its_better_turn_and_our_own_dense() -> None:
    (long, short), = serving.ratios(TOLD).values()
    assert long == pytest.approx((4.0, 4200 / 1100, 4.2)) and short == pytest.approx((0.97, 0.97, 0.97))


def test_what_falls_below_dense_at_short_contexts_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    serving.show(TOLD)
    out = capsys.readouterr().out
    assert out.count("BELOW 0.98x") == 1 and "4.00x the rival (3.82x its better turn), 4.20x dense of ours" in out
    serving.show({"model": "m", "skipped": "no dense backend of SGLang's started", "tried": {"fa3": "why not"}})
    assert "why not" in capsys.readouterr().out


def test_the_record_holds_machine_check_and_ratios(tmp_path: Path) -> None:
    serving.record([TOLD, {"model": "x", "skipped": "y"}], {"equal": True}, PLAN, tmp_path)
    told = json.loads((tmp_path / "serving.json").read_text())
    assert set(told) == {"machine", "setting", "check", "results"} and told["check"]["equal"]
    assert told["results"][0]["times"]["quest 29"][0][0] == pytest.approx(4.0)
    assert (tmp_path / "serving.png").read_bytes()[:4] == b"\x89PNG"
    serving_plot.plot([{"model": "x", "skipped": "y"}], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_config_without_weights_is_one_that_is_served(tmp_path: Path) -> None:
    sizes = MODELS["qwen3-4b"]
    shape = find_checkpoint(str(serving_engines.write_config(sizes, tmp_path / "m"))).shape
    assert (shape.layers, shape.kv_heads, shape.group, shape.head_dim, shape.hidden) == (36, 8, 4, 128, 2560)
    assert shape.sizes("qwen3-4b") == sizes


class Sglang:
    """SGLang's engine as far as the worker asks it; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def generate(self, input_ids: list[list[int]], sampling_params: dict[str, Any]) -> list[dict[str, Any]]:
        new = sampling_params["max_new_tokens"]
        self.asked.append((len(input_ids), new))
        return [{"output_ids": [7] * new, "meta_info": {"cached_tokens": 4, "completion_tokens": new}} for _ in input_ids]


def test_the_worker_fills_the_prefix_cache_before_it_looks_at_the_clock() -> None:
    engine, asked = Sglang(), {"seed": 0, "count": 3, "context": 9, "vocabulary": 50, "new": 5}
    told = serving_worker.answer(engine, asked)
    assert engine.asked == [(3, 1), (3, 5)] and (told["came"], told["cached"]) == (15, 12) and "tokens" not in told
    assert serving_worker.answer(engine, {**asked, "tell": True})["tokens"] == [[7] * 5] * 3
    assert serving_worker.prompts(asked) == serving_worker.prompts(asked) != serving_worker.prompts({**asked, "seed": 1})
    assert all(serving_worker.FIRST_ID <= token < 50 for prompt in serving_worker.prompts(asked) for token in prompt)


@pytest.mark.parametrize(("log", "said"), [("a\nValueError: no such backend\nkilled", "ValueError: no such backend"),
                                           ("a\nb\n", "b"), ("", "it said nothing")])
def test_what_ended_an_engine_is_the_error_of_its_log(log: str, said: str) -> None:
    assert serving_engines.last_words(log) == said
