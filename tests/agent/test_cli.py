"""The command as a shell sees it: help, exit codes, what goes to stdout and what to stderr."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import COMMANDS
from tests.serving.sglang.stand_in import make_python
from vortex.serving.sglang.python import VARIABLE

BROKEN = '''"""Slices the centroid and forgets the query."""
from vortex import ops, register, vFlow


@register("broken")
class Broken(vFlow):
    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)[..., :64]

    def forward_indexer(self, q, cache):
        score = q.mean(dim=1) @ cache["centroid"].T
        return ops.topk(score)
'''


def vortex(*words: str | Path, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "agent.cli.main", *map(str, words)], capture_output=True, text=True,
                          cwd=folder, timeout=120)


def test_help_lists_every_command() -> None:
    done = vortex("--help")
    assert done.returncode == 0
    for name, summary in COMMANDS.items():
        assert f"  {name} " in done.stdout and summary.split(",")[0][:40] in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = vortex(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: vortex {name}")


def test_help_and_checks_load_none_of_the_heavy_libraries() -> None:
    heavy = ("torch", "ray", "sqlalchemy", "transformers", "matplotlib", "scipy")
    code = ("import sys\nfrom agent.cli.main import main\n"
            "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
            f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)")
    for words in (["--help"], ["check", "quest"], ["check", "quest", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]", words


def test_check_tells_of_a_good_flow() -> None:
    done = vortex("check", "quest", "--head-dim", "64", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(told) >= {"ok", "name", "hash", "fields", "ops", "index_bytes_per_block", "errors"}
    assert (told["ok"], told["name"], told["index_bytes_per_block"], told["errors"]) == (True, "quest", 512, [])
    assert [field["name"] for field in told["fields"]] == ["hi", "lo"]


def test_check_tells_what_is_wrong_and_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    done = vortex("check", path)
    assert done.returncode == 2
    assert done.stdout.startswith(f"{path}:11  ShapeMismatch\n    score = q.mean(dim=1) @ cache[\"centroid\"].T\n")
    assert done.stdout.endswith("1 error. Nothing was compiled.\n")
    told = json.loads(vortex("check", path, "--json").stdout)
    assert told["ok"] is False
    assert [(error["code"], error["line"]) for error in told["errors"]] == [("ShapeMismatch", 11)]


@pytest.mark.parametrize(("words", "said"), [
    (["check", "qest"], "Did you mean quest?"),
    (["ops", "men"], "Did you mean mean?"),
    (["run", "quickstrt"], "Did you mean 'quickstart'?"),
    (["frontier"], "results.db"),
    (["show", "3", "--db", "missing.db"], "missing.db"),
    (["resume", "nothing", "--db", "missing.db"], "missing.db"),
    (["run", "smoke", "--set", "point.model=./nowhere"], "there is no folder ./nowhere"),
    (["eval", "qest"], "Did you mean quest?"),
    (["verify", "nowhere"], "nowhere is n"),
    (["doctor", "--model", "./nowhere"], "there is no folder ./nowhere"),
    (["chek"], "Did you mean 'check'?"),
])
def test_a_mistake_of_the_user_is_one_message_and_exit_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = vortex(*words, folder=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_json_where_json_was_asked_for(tmp_path: Path) -> None:
    done = vortex("run", "quickstrt", "--json", folder=tmp_path)
    assert json.loads(done.stderr)["code"] == "CampaignError"


def test_flows_and_ops_are_listed_and_shown() -> None:
    assert "quest" in vortex("flows").stdout
    assert 'cache["hi"] = cache["k"].max(dim=1)' in vortex("flows", "quest").stdout
    assert "x.mean(dim, every=None)" in vortex("ops", "mean").stdout


def test_doctor_says_that_the_shipped_model_is_served() -> None:
    told = json.loads(vortex("doctor", "--model", "probe", "--json").stdout)
    assert told["model"]["served"] is True and told["model"]["head_dim"] == 64
    assert told["model"]["engines"] == ["embedded", "sglang"]


def test_doctor_says_which_sandbox_and_devices_are_in_use() -> None:
    told, text = json.loads(vortex("doctor", "--json").stdout), " ".join(vortex("doctor").stdout.split())
    assert told["sandbox"]["means"] in ("bubblewrap", "Landlock", None)
    assert f"sandbox {told['sandbox']['text']}" in text
    assert told["devices"][-1]["kind"] == "cpu" and f"{told['devices'][-1]['count']} x " in text
    assert "maths and data sets" in told["parts"]


def test_doctor_says_where_sglang_is_found_and_what_is_wrong_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(make_python(tmp_path, "0.4.0")))
    told = json.loads(vortex("doctor", "--json").stdout)["parts"]["sglang engine"]
    assert told["usable"] is False and "0.4.0" in told["why"] and "0.5.23" in told["install"]
    assert "is not supported" in vortex("doctor").stdout
