"""Flows with parameters in a search: what descends from them keeps them, and a campaign of them is resumed and taken home."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.registry import make_proposer
from tests.search.made import WEIGHED, parameter, weighed
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry
from vortex.language.parameters import files_of

PROBE_HEAD = 64
CAMPAIGN = """[campaign]
name     = "weighed"
seed     = 3
controls = ["dense"]
seeds    = ["{folder}/weighed.py"]

[budget]
candidates = 2

[point]
model = "probe"

[[proposer]]
kind  = "evolve"
seeds = 1.0

[[stage]]
name = "static"

[[stage]]
name    = "retrieval"
tasks   = ["multikey-512-full"]
samples = 4
chunk   = 2
"""


def proposals(*factors: float) -> list[Proposal]:
    seeds = tuple(Parent(name=f"weighed {f:g}", graph=weighed(f), point=OperatingPoint()) for f in factors)
    told = Round(number=1, parents=(), seeds=seeds, geometry=Geometry(16, 32, 2), point=OperatingPoint())
    return list(make_proposer("evolve", {"crossover": 0.5}).propose(told, Random(7), 24))


def test_what_descends_from_a_flow_with_parameters_loads_with_them_alone() -> None:
    found = proposals(1.0)
    kept = [p for p in found if "ops.param" in p.source]
    assert len(kept) > 5
    for one in found:
        graph = load(one.source, f"<{one.name}>", Geometry(16, 32, 2), parameters=one.parameters)
        assert [p.data for p in graph.parameters] == ([parameter().data] if one in kept else [])


def test_a_cross_of_two_flows_keeps_the_parameters_of_both_apart() -> None:
    both = [p for p in proposals(1.0, 2.0) if len(p.parameters) > 1]
    assert both
    for one in both:
        assert {p.digest for p in one.parameters} == {parameter(1.0).digest, parameter(2.0).digest}
        assert sorted(p.file for p in one.parameters) == ["w.safetensors", "w_2.safetensors"]
        graph = load(one.source, "<x>", Geometry(16, 32, 2), parameters=one.parameters)
        assert {p.data for p in graph.parameters} == {parameter(1.0).data, parameter(2.0).data}


def told(*words: str | Path | int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_vortex(*words), capture_output=True, text=True, timeout=280)


def _vortex(*words: str | Path | int) -> list[str]:
    return [sys.executable, "-m", "agent.cli.main", *map(str, words)]


@pytest.mark.server
def test_a_campaign_of_a_flow_with_parameters_is_resumed_and_what_it_found_taken_home(tmp_path: Path) -> None:
    (tmp_path / "weighed.py").write_text(WEIGHED)
    for name, content in files_of((parameter(head_dim=PROBE_HEAD),)).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "weighed.toml").write_text(CAMPAIGN.format(folder=tmp_path))
    db = tmp_path / "results.db"
    process = subprocess.Popen(_vortex("run", tmp_path / "weighed.toml", "--json", "--db", db), stdout=subprocess.PIPE,
                               text=True, start_new_session=True)
    assert process.stdout is not None
    next(line for line in process.stdout if json.loads(line)["event"] == "stage_ended")
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()
    assert process.wait(timeout=60) == 130
    resumed = told("resume", "weighed", "--quiet", "--db", db)
    assert resumed.returncode == 0, resumed.stderr

    shown = [json.loads(told("show", id, "--json", "--db", db).stdout) for id in (2, 3)]
    mine = [one["id"] for one in shown if one["status"] == "ok" and one["name"].startswith("weighed")]
    for file in (tmp_path / "weighed.py", tmp_path / "w.safetensors"):
        file.unlink()
    bundle = tmp_path / "bundle"
    assert told("export", mine[-1], "--to", bundle, "--db", db).returncode == 0
    checked = told("check", bundle / "flow.py", "--model", "probe", "--json")
    assert json.loads(checked.stdout)["hash"] == json.loads((bundle / "manifest.json").read_text())["flow_hash"]
    verified = told("verify", bundle)
    assert verified.returncode == 0, verified.stdout + verified.stderr
