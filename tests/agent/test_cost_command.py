"""`vortex cost`: its table, its JSON, its picture, and what it says to mistakes."""
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main

FIXED = ("--set", "topk_val=29", "--set", "topk_ratio=0")


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    out = capsys.readouterr()
    assert (ended.value.code, out.err) == (0, "")
    return out.out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_table_over_batch_and_context(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "quest", "centroid", "--ideal", *FIXED)
    assert text == """\
qwen3-1.7b on H200: 3.44 GB of weights, 114,688 bytes of KV a token, room for 1,015,006 tokens
by arithmetic, not measured; assumed: 100% of the bandwidth over KV, 100% over weights
point: block_size 16, topk_val 29, topk_ratio 0.0, dtype bfloat16

batch  ms a step  4k           16k          64k
1      dense      0.81         1.11         2.28
       quest      0.74  1.11x  0.75  1.47x  0.83  2.75x
       centroid   0.73  1.11x  0.74  1.49x  0.78  2.93x
8      dense      1.50         3.85         13.25
       quest      0.87  1.73x  1.02  3.79x  1.62  8.20x
       centroid   0.84  1.78x  0.92  4.20x  1.23  10.82x
32     dense      3.85         13.25        -
       quest      1.31  2.94x  1.91  6.93x  -
       centroid   1.21  3.17x  1.52  8.71x  -

quest is faster than dense from 560 tokens at batch 1, 560 tokens at batch 8, 560 tokens at batch 32
centroid is faster than dense from 544 tokens at batch 1, 544 tokens at batch 8, 544 tokens at batch 32
"""


def test_realistic_times_hold_what_is_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "quest", *FIXED, "--batch", "1", "--context", "4k", "--assume", "select_us=20", "--assume", "step_ms=1")
    assert "assumed: 80% of the bandwidth over KV, 100% over weights, 1 ms a step, 20 us a layer that selects\n" in text
    assert "2.30  0.80x" in text and "from 20,576 tokens at batch 1" in text


def test_kernels_of_the_largest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "quest", "--kernels", "--batch", "4,64", "--context", "8k,1m")
    assert "quest, batch 64, 8k tokens, all layers of a step:\n" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    assert [kind for kind in rows if kind in ("update", "plan", "score", "select", "attend", "weights")] == \
        ["update", "plan", "score", "select", "attend", "weights"]
    assert rows["score"][1] == "28" and "bandwidth" in rows["score"]


def test_json_says_the_same_by_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    body: dict[str, Any] = json.loads(told(capsys, "tidaldecode", "--json", "--kv", "fp8", "--gpu", "B200", "--context", "32k"))
    assert body["measured"] is False and body["gpu"]["name"] == "B200"
    assert body["model"]["kv_bytes_per_token"] == 57_344
    [flow] = body["flows"]
    assert flow["point"]["layer_modes"] == ["dense", "dense", "select", "reuse"] and flow["point"]["dtype"] == "bfloat16"
    assert set(flow["break_even"]) == {"1", "8", "32"}
    for cell in flow["cells"]:
        us = sum(kernel["us"] for kernel in cell["kernels"])
        assert cell["step_ms"] == pytest.approx(us / 1000 + 0.5 + 0.01)
        assert all(kernel["bytes"] == pytest.approx(sum(kernel["moved"].values()), abs=4) for kernel in cell["kernels"])


def test_points_come_from_a_file_and_from_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "point.toml"
    path.write_text("block_size = 64\ndtype = 'float16'\n")
    text = told(capsys, "quest", "--point", str(path), "--set", "renew_every=4", "--model", "Qwen/Qwen3-8B")
    assert text.startswith("qwen3-8b on H200: 16.38 GB")
    assert "point: block_size 64, topk_val 0, topk_ratio 0.125, dtype float16, renew_every 4\n" in text


def test_a_checkpoint_is_read_where_the_table_has_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "loki", "--model", "probe").startswith("probe on H200: 0.00 GB of weights, 2,048 bytes of KV a token")


def test_latent_flows_and_models_that_no_gpu_holds(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "mla-centroid", "--model", "deepseek-v3", "--batch", "1,8")
    assert "1,342.05 GB of weights, 70,272 bytes of KV a token, more than 141 GB of memory can hold\n" in text
    assert "\n       mla-centroid  -   -    -\n" in text
    assert "not at batch 1, 8 (looked for up to 1,048,576 tokens and to the memory's end)" in text


def test_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "speed.png"
    assert told(capsys, "quest", "centroid", "--plot", str(path)).endswith(f"\nplot: {path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("words", "said"), [
    (["quest", "--model", "qwen3-1.8b"], "Did you mean qwen3-1.7b?"),
    (["quest", "--gpu", "h20"], "Did you mean h200?"),
    (["qest"], "Did you mean quest?"),
    (["mla-centroid"], "With latents: glm-4.7-flash, deepseek-v3."),
    (["quest", "--model", "deepseek-v3"], "is written for keys and values"),
    (["loki"], "ShapeMismatch"),
    (["quest", "--batch", "0"], "--batch 0: '0' is not a number of 1 to 1,073,741,824"),
    (["quest", "--context", "4k,,8k"], "'' is not a number"),
    (["quest", "--context", "4q"], "'4q' is not a number"),
    (["quest", "--set", "topk_vel=3"], "Did you mean topk_val?"),
    (["quest", "--set", "topk_val"], "not of the form"),
    (["quest", "--set", "schedule_policy=x+"], "schedule_policy"),
    (["quest", "--assume", "select_ms=3"], "Did you mean select_us?"),
    (["quest", "--assume", "kv_bandwidth=80"], "a share of 0 to 1 is wanted"),
    (["quest", "--assume", "step_ms=nan"], "a number from 0 on is wanted"),
    (["quest", "--point", "nowhere.toml"], "cannot read nowhere.toml"),
    (["quest", "--model", "./nowhere"], "there is no folder ./nowhere"),
])
def test_mistakes_are_told_with_what_is_there(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert said in refused(capsys, *words)


def test_no_heavy_library_is_loaded_for_a_known_model() -> None:
    code = ("import sys\nfrom agent.cli.main import main\ntry:\n    main(['cost', 'quest'])\nexcept SystemExit:\n    pass\n"
            "print([n for n in ('torch', 'triton', 'transformers', 'matplotlib', 'scipy') if n in sys.modules], file=sys.stderr)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stderr.strip() == "[]"
