"""`vortex compile` as a shell sees it; one cache for the whole file, so that a flow is built once."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def vortex(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "agent.cli.main", "compile", *map(str, words)], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "VORTEX_CACHE": str(folder)})


def test_a_flow_is_told_of_in_a_line_in_a_table_and_as_json(folder: Path, tmp_path: Path) -> None:
    line = vortex(folder, "centroid")
    assert (line.returncode, line.stderr) == (0, "")
    assert line.stdout.startswith("ok  centroid  sm_90: ") and "no spills" in line.stdout
    table = vortex(folder, "centroid", "--report").stdout.splitlines()
    assert table[0].startswith("sm_90 (H200; a block of threads has 232,448 bytes")
    assert table[1].split()[:4] == ["kernel", "registers", "spills", "shared"]
    told = json.loads(vortex(folder, "centroid", "--json", "--to", tmp_path / "new").stdout)
    assert (told["ok"], told["errors"], told["targets"]) == (True, [], [
        {"target": "sm_90", "chip": "H200", "ok": True, "code": ""}])
    assert len(told["kernels"]) == len(table) - 3
    assert all({"name", "registers", "spills", "shared"} <= set(kernel) for kernel in told["kernels"])
    source = (tmp_path / "new" / "centroid.score.sm_90.py").read_text()
    assert "@triton.jit" in source
    assert ".target sm_90" in (tmp_path / "new" / "centroid.score.sm_90.ptx").read_text()
    assert sorted(told["files"]) == sorted(path.name for path in (tmp_path / "new").iterdir())


@pytest.mark.parametrize(("words", "said"), [
    (["quest", "--arch", "sm_70"], "Targets: sm_80, sm_90, sm_100."),
    (["relu-indexer", "--arch", "sm_80"], "fp8"),
    (["qest"], "Did you mean quest?"),
    (["quest", "--model", "qwen3-1.7b", "--group", "2"], "Leave --head-dim and --group out"),
    (["mla-centroid", "--model", "qwen3-8b"], "With latents: "),
    (["quest", "--set", "topk_vla=3"], "Did you mean topk_val?"),
    (["quest", "--block-size", "24"], "power of two"),
    (["centroid", "--to", "/proc/nowhere"], "cannot write to /proc/nowhere"),
])
def test_a_mistake_of_the_user_is_one_message_and_exit_code_2(folder: Path, words: list[str], said: str) -> None:
    done = vortex(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_latent_flow_is_built_at_the_channels_and_heads_asked_for(folder: Path, tmp_path: Path) -> None:
    assert vortex(folder, "mla-centroid", "--head-dim", "96", "--group", "2", "--to", tmp_path / "new").returncode == 0
    assert "96" in (tmp_path / "new" / "mla-centroid.update.sm_90.py").read_text()


def test_a_refusal_is_json_where_json_was_asked_for(folder: Path) -> None:
    done = vortex(folder, "relu-indexer", "--arch", "sm_80", "--json")
    assert (done.returncode, json.loads(done.stderr)["code"]) == (2, "CompileError")
