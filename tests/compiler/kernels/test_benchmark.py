"""benchmarks/kernels.py: every step of it runs at tiny shapes, and its verdicts follow from its rows."""
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import kernels_plots  # noqa: E402 - scripts, not a package
import kernels_report  # noqa: E402

PARTS = ("dense attention", "update centroid", "plan centroid", "score and select centroid", "select centroid",
         "sparse attention centroid", "block centroid", "ragged batch centroid")
COPIED = 4e12                             # bytes a second


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BENCHMARKS / "kernels.py", *arguments], capture_output=True, text=True, timeout=200,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_dry_run_walks_through_every_part_and_measures_nothing(tmp_path: Path) -> None:
    done = run("--dry-run", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "1 of 1 flows equal the reference" in done.stdout
    assert all(part in done.stdout for part in PARTS)
    assert "did not run" not in done.stdout and " us " not in done.stdout.split("update at most")[0]
    assert done.stdout.count("not measured") == 7
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line() -> None:
    done = run()
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no CUDA device" in done.stderr


def row(part: str, form: str, median_us: float, moved: int = 0, batch: int = 16, context: int = 32768,
        **more: Any) -> dict[str, Any]:
    rate = moved / median_us * 1e6
    return {"model": "qwen3-1.7b", "batch": batch, "context": context, "flow": None if part == "dense attention" else "centroid",
            "part": part, "form": form, "median_us": median_us, "low_us": median_us, "high_us": median_us,
            **({"bytes": moved, "gb_s": rate / 1e9, "of_copy": rate / COPIED} if moved else {}), **more}


GOOD = [row("update", "ours", 5), row("plan", "ours", 9), row("score and select", "as built", 9, 2 << 20),
        row("score and select", "as built", 30, 100 << 20, context=131072),
        row("score and select", "score, then select", 99, 2 << 20),
        row("dense attention", "ours", 600, 2 << 30), row("dense attention", "torch sdpa", 9000, 2 << 30),
        row("dense attention", "ours", 50, 20 << 20, batch=1), row("sparse attention", "ours", 40, 100 << 20),
        row("block", "ours", 100, dense_by_rule=False), row("block", "dense", 520),
        row("block", "ours", 100, batch=1, dense_by_rule=True), row("block", "dense", 50, batch=1)]


def test_good_figures_meet_every_target() -> None:
    assert [v.target for v in kernels_report.verdicts(GOOD, COPIED) if not v.met] == []


@pytest.mark.parametrize(("changed", "target"), [
    (row("update", "ours", 11), "summary update"), (row("plan", "ours", 10.5, batch=1), "planner"),
    (row("score and select", "as built", 11, 100 << 20), "score and select"),
    (row("score and select", "as built", 40, 100 << 20, context=131072), "score and select"),
    (row("dense attention", "ours", 800, 2 << 30), "dense attention"),
    (row("sparse attention", "ours", 50, 100 << 20), "sparse attention"),
    (row("block", "dense", 490), "block of centroid"),
])
def test_a_figure_that_falls_short_is_told_with_its_place(changed: dict[str, Any], target: str) -> None:
    rows = [*(r for r in GOOD if (r["part"], r["form"]) != (changed["part"], changed["form"])
              or (r["batch"], r["context"]) != (changed["batch"], changed["context"])), changed]
    missed = [v for v in kernels_report.verdicts(rows, COPIED) if v.met is False]
    assert [v.target.startswith(target) for v in missed] == [True]
    assert f"qwen3-1.7b, {changed['batch']}, {changed['context']}" in missed[0].line


def test_a_slower_block_is_missed_only_where_the_rule_lets_it_run() -> None:
    slow = [row("block", "ours", 100, batch=1, dense_by_rule=False), row("block", "dense", 50, batch=1)]
    met = {v.target: v.met for v in kernels_report.verdicts([*GOOD[:-2], *slow], COPIED)}
    assert met["block never slower than dense where the break-even rule lets it run"] is False


def test_plots_are_drawn_of_rows_with_times(tmp_path: Path) -> None:
    made = kernels_plots.plot(GOOD, tmp_path, "a GPU")
    assert {path.name for path in made} == {"kernels_qwen3-1.7b_centroid.png", "kernels_bandwidth.png"}
    assert all(path.stat().st_size > 10_000 for path in made)
    untimed = {key: value for key, value in GOOD[0].items() if not key.endswith("_us")}
    assert kernels_plots.plot([untimed], tmp_path, "a GPU") == []


def test_a_table_sets_each_form_beside_the_first() -> None:
    lines = list(kernels_report.table([*GOOD[9:11], {**GOOD[0], "refused": "RuntimeError: no"}]))
    assert "5.20 times the first" in lines[1]
    assert lines[2].endswith("did not run: RuntimeError: no")
