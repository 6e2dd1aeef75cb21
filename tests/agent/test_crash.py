"""A campaign survives kills, stops when asked, and shows what it found: run for real, on the shipped probe."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def vortex(*words: str | Path | int) -> list[str]:
    return [sys.executable, "-m", "agent.cli.main", *map(str, words)]


def told(*words: str | Path | int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(vortex(*words), capture_output=True, text=True, timeout=280)


@pytest.mark.server
def test_killed_twice_it_ends_as_the_unbroken_run_does() -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "crash.py", "--kills", "2"], capture_output=True, text=True,
                          cwd=ROOT, timeout=290)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("2 kills: nothing lost, nothing doubled, all equal to the unbroken run\n")


@pytest.mark.server
def test_interrupted_it_stops_between_rows_goes_on_and_is_then_shown_asked_and_taken_home(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    settings = ("--set", "budget.candidates=2", "--db", db)
    process = subprocess.Popen(vortex("run", "smoke", "--json", *settings), stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert process.stdout is not None
    next(line for line in process.stdout if json.loads(line)["event"] == "stage_ended")
    os.killpg(process.pid, signal.SIGINT)
    events = [json.loads(line) for line in process.stdout]
    assert process.wait(timeout=60) == 130
    assert events[-1] == {"event": "ended", "campaign": "smoke", "finished": False, "overhead": events[-1]["overhead"]}

    changed = told("run", "smoke", "--set", "budget.candidates=3", "--db", db)
    assert (changed.returncode, "budget.candidates: 2 -> 3" in changed.stderr) == (2, True)
    assert told("resume", "smoke", "--quiet", "--db", db).returncode == 0
    again = told("run", "smoke", *settings)
    assert again.returncode == 0 and "smoke is finished" in again.stdout

    frontier = json.loads(told("frontier", "--format", "json", "--all", "--db", db).stdout)
    judged = {one["name"]: one["id"] for one in frontier["candidates"]}
    assert {"dense", "quest"} < set(judged) and frontier["speed_lengths"] == [2048]
    best = max(judged.values())
    assert "def forward_indexer" in told("show", best, "--db", db).stdout
    assert str(best) in told("why", best, "--db", db).stdout
    assert "2/2" in told("status", "--db", db).stdout
    bundle = tmp_path / "bundle"
    assert told("export", best, "--to", bundle, "--db", db).returncode == 0
    verified = told("verify", bundle)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "as good as its manifest says" in verified.stdout
