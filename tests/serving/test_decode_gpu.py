"""The benchmark of whole decode steps: refused without a GPU, dry through the same way, skipping what does not fit."""
import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import decode_gpu  # noqa: E402
import decode_plot  # noqa: E402

from vortex.compiler.shapes import MODELS  # noqa: E402
from vortex.serving.embedded.engine import EmbeddedEngine  # noqa: E402

PLAN = decode_gpu.Plan(models=(MODELS["qwen3-1.7b"],), batches=(1,), contexts=(4096,), flows=("centroid", "quest"), rounds=3,
                       steps=2, block=16, chosen=29)


def options(*words: str) -> Namespace:
    parser = ArgumentParser()
    decode_gpu.add_options(parser)
    parser.add_argument("--rounds", default=2)
    parser.add_argument("--steps", default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode_gpu.run(options("--gpu"), [4096]) == 2
    assert capsys.readouterr().err == "benchmarks/decode.py --gpu: there is no CUDA device here\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the GPU")
def test_a_dry_run_goes_the_whole_way_and_keeps_no_times(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(decode_gpu, "WARM_STEPS", 0)
    monkeypatch.setattr(decode_gpu, "dry", lambda plan: replace(
        plan, models=(replace(decode_gpu.TINY, layers=1),), batches=(1,), contexts=(50,), flows=("centroid",), rounds=1, chosen=0,
        dry=True))
    assert decode_gpu.run(options("--gpu", "--dry-run", "--json", "--out", str(tmp_path)), [4096]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == [{"model": "tiny", "batch": 1, "context": 50, "ran": ["dense", "centroid"]}]
    assert told["setting"]["dry_run"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("batch", "context", "gigabytes"), [
    (1, 4096, 3.44 + (4096 + 64) * 114_688 * (1 + 1 / 32 + 1 / 16) / 1e9),
    (32, 16384, 3.44 + 32 * (16384 + 64) * 114_688 * (1 + 1 / 32 + 1 / 16) / 1e9)])
def test_memory_is_weights_and_kv_once_and_the_summaries_of_all_flows(batch: int, context: int, gigabytes: float) -> None:
    sizes = PLAN.models[0]
    needed = decode_gpu.needed_bytes(sizes, PLAN.graphs(sizes), PLAN.point(sizes), batch, context)
    assert needed / 1e9 == pytest.approx(gigabytes, rel=1e-3)


def test_a_cell_beyond_memory_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_gpu, "card", lambda: {"memory_bytes": 70e9})
    assert decode_gpu.measure(EmbeddedEngine("cpu"), PLAN, PLAN.models[0], 32, 16384)["skipped"] == \
        "needs 69 GB, and the GPU has 70"


def test_every_side_comes_first_and_the_first_round_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Timed:
        def use(self, graph: Any, point: Any) -> None:
            asked.append("dense" if graph is None else graph.name)

        def forced_decode(self, batch: int, context: int, steps: int) -> Any:
            assert steps == PLAN.steps + decode_gpu.WARM_STEPS
            return Namespace(seconds=[9.0, 9.0, len(asked), len(asked)])

    graphs = PLAN.graphs(PLAN.models[0])
    found = decode_gpu.step_times(Timed(), PLAN, graphs, PLAN.point(PLAN.models[0]), 1, 4096)  # type: ignore[arg-type]
    assert found == {"dense": [6, 8, 10], "centroid": [4, 9, 11], "quest": [5, 7, 12]}
    assert [asked.index("dense", at) for at in range(0, 12, 3)] == [0, 5, 7, 9]


def test_cells_are_drawn_and_those_without_figures_left_out(tmp_path: Path) -> None:
    speed = {"median": 2.0, "low": 1.9, "high": 2.2}
    cells = [{"model": model, "batch": 8, "context": context, "speedup": {"quest": speed}}
             for model in ("a", "b") for context in (4096, 8192)] + [{"model": "c", "batch": 1, "context": 1, "skipped": "why"}]
    decode_plot.plot(cells, tmp_path / "some.png")
    decode_plot.plot(cells[-1:], tmp_path / "none.png")
    assert [path.name for path in tmp_path.iterdir()] == ["some.png"]
