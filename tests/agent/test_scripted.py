"""A campaign whose ideas come from models, as a new user runs it: to its frontier, killed and gone on with, and against a
provider on the loopback."""
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.models.base import Text, Usage
from search.store.archive import open_archive
from tests.agent.asking import FLOW
from tests.models.loopback import Loopback, serve
from tests.models.protocols import Reply

CAMPAIGN = """[campaign]
name     = "models"
seed     = 3
controls = ["dense", "quest"]

[budget]
candidates = {candidates}
round_size = 3

[point]
model = "probe"

[[proposer]]
kind  = "one-shot"
model = "{model}"
ideas = 3

[[stage]]
name = "static"
"""


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "agent.cli.main", *map(str, words)]


def vortex(folder: Path, *words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*words), capture_output=True, text=True, cwd=folder, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


def script(folder: Path, answers: int = 6, each: int = 3, candidates: int = 6) -> Path:
    """A campaign whose answers hold `each` flows."""
    numbers = count(1)
    lines = [json.dumps({"text": "\n".join(FLOW.format(n=next(numbers)) for _ in range(each))}) for _ in range(answers)]
    (folder / "answers.jsonl").write_text("\n".join(lines))
    (folder / "models.toml").write_text(CAMPAIGN.format(model="scripted:answers.jsonl", candidates=candidates))
    return folder


def told(folder: Path) -> tuple[list[tuple[Any, ...]], list[tuple[str, int]]]:
    """The candidates of an archive, and its calls."""
    archive = open_archive(folder / "results.db", create=False)
    candidates = [(one.round, one.slot, one.name, one.flow.hash, one.author, one.hypothesis, one.status)
                  for one in archive.candidates("models")]
    calls = [(call.key, call.attempt) for call in archive.ledger("models").calls()]
    archive.close()
    return candidates, calls


def test_killed_in_a_round_it_goes_on_to_what_the_unbroken_run_finds_and_pays_once(tmp_path: Path) -> None:
    whole, broken = (script(tmp_path / name) for name in ("whole", "broken") if not (tmp_path / name).mkdir())
    assert vortex(whole, "run", "models.toml", "--quiet").returncode == 0
    process = subprocess.Popen(command("run", "models.toml", "--json"), stdout=subprocess.PIPE, text=True, cwd=broken,
                               start_new_session=True)
    assert process.stdout is not None
    starts = (line for line in process.stdout if json.loads(line)["event"] == "candidate_ended")
    for _ in range(4):                # two controls and two of the first round
        next(starts)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert vortex(broken, "resume", "models", "--quiet").returncode == 0
    assert told(broken) == told(whole)
    candidates, calls = told(whole)
    assert [key for key, _ in calls] == ["round 1/one-shot/0", "round 2/one-shot/0"]
    assert [name for *_, name, _, _, _, _ in candidates][2:] == [f"idea-{n}" for n in range(1, 7)]
    assert candidates[2][5] == "peaks of page 1 count. Predicts accuracy up by 0.02."
    notes = open_archive(whole / "results.db").notes("models")
    assert sum(note.kind == "hypothesis" for note in notes) == 6


def test_a_script_that_ends_stops_with_what_was_gained(tmp_path: Path) -> None:
    done = vortex(script(tmp_path, answers=1), "run", "models.toml")
    assert done.returncode == 2 and "ScriptEnded" in done.stderr and "Traceback" not in done.stderr
    assert "one-shot proposes no more" in done.stdout
    assert len(told(tmp_path)[0]) == 5
    assert "stopped" in vortex(tmp_path, "status").stdout


def test_the_same_answer_for_ever_ends_cleanly(tmp_path: Path) -> None:
    script(tmp_path, candidates=60)
    (tmp_path / "answers.jsonl").write_text(json.dumps({"text": FLOW.format(n=1), "repeat": True}))
    done = vortex(tmp_path, "run", "models.toml")
    assert done.returncode == 0, done.stderr
    assert "one-shot proposes no more: its last 8 ideas were known already" in done.stdout
    assert "models is finished" in done.stdout and len(told(tmp_path)[1]) == 9


@pytest.fixture
def provider() -> Iterator[Loopback]:
    """Answers with as many new flows as are asked for."""
    numbers = count(1)

    def answer(words: str, body: Mapping[str, Any]) -> Reply:
        wanted = re.search(r"Propose (\d+)", words)
        flows = [FLOW.format(n=next(numbers)) for _ in range(int(wanted[1]) if wanted else 1)]
        return Reply(parts=(Text("\n".join(flows)),), usage=Usage(input=1000, output=500, cache_read=8000, cache_write=100))

    with serve(Loopback(answer=answer)) as loopback:
        yield loopback


def test_it_runs_against_the_protocol_of_a_real_provider(tmp_path: Path, provider: Loopback) -> None:
    (tmp_path / "models.toml").write_text(CAMPAIGN.format(model="claude-haiku-4-5", candidates=6))
    keys = {"ANTHROPIC_API_KEY": "sk-of-a-test", "ANTHROPIC_BASE_URL": provider.url}
    done = vortex(tmp_path, "run", "models.toml", **keys)
    assert done.returncode == 0, done.stderr
    candidates, calls = told(tmp_path)
    assert len(candidates) == 8 and len(calls) == len(provider.delivered) == 2
    spent = open_archive(tmp_path / "results.db").ledger("models").spent()
    assert spent.nanos == 2 * (1000 * 1000 + 500 * 5000 + 8000 * 100 + 100 * 1250) and spent.tokens == 2 * 9600
    assert b"sk-of-a-test" not in (tmp_path / "results.db").read_bytes()


@pytest.mark.parametrize(("model", "environment", "said"), [
    ("claude-haiku-4-5", {"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY"),
    ("nobody-knows", {}, "nobody-knows"),
    ("scripted:missing.jsonl", {}, "missing.jsonl"),
])
def test_a_model_that_cannot_be_had_is_one_message_and_nothing_is_written(tmp_path: Path, model: str, said: str,
                                                                          environment: dict[str, str]) -> None:
    (tmp_path / "models.toml").write_text(CAMPAIGN.format(model=model, candidates=6))
    done = vortex(tmp_path, "run", "models.toml", **environment)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models.toml"]
