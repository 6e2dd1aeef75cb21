"""A bundle is measured again on the tasks and the model that it was measured on, or not at all."""
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.campaign import Campaign, from_json
from agent.environment import measured
from agent.single import check_same, judge_bundle
from agent.watch import Quiet
from evaluator.tasks.door import find_task
from search.candidate import flow_record
from search.export import Bundle, Provenance, read_bundle, write_bundle
from search.store.archive import open_archive
from tests.search.made import dense, entry, graph
from tests.tasks.test_fixed import lines, problems
from vortex import flows
from vortex.errors import BundleError


@pytest.fixture
def made(tmp_path: Path) -> Campaign:
    file = lines(tmp_path / "mine.jsonl", problems(8))
    stages = [{"name": "retrieval", "tasks": [f"file:{file}", "multikey-512-full"], "samples": 4}]
    return from_json({"campaign": {"name": "made", "controls": ["dense"]}, "budget": {"candidates": 1},
                      "point": {"model": "probe"}, "proposer": [{"kind": "evolve"}], "stage": stages}, "made")


def bundle(campaign: Campaign, environment: Mapping[str, Any], to: Path) -> Bundle:
    one = entry(23)
    flow = flow_record("centroid", flows.read("centroid")[1], graph())
    one = replace(one, candidate=replace(one.candidate, flow=flow, point=campaign.point))
    provenance = Provenance(seed=7, settings=campaign.to_json(), environments=(environment,), dense=dense())
    return read_bundle(write_bundle(one, provenance, to))


def without(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def test_other_answers_in_a_file_of_tasks_are_refused_by_the_task_s_name(made: Campaign, tmp_path: Path) -> None:
    taken = bundle(made, measured(made), tmp_path / "out")
    check_same(taken, measured(made))
    lines(tmp_path / "mine.jsonl", [{**one, "answer": 0} for one in problems(8)])
    find_task.cache_clear()
    archive = open_archive(tmp_path / "verify.db")
    with pytest.raises(BundleError, match=r"task file:mine is not what the bundle was measured on"):
        judge_bundle(taken, archive, Quiet())
    archive.close()


@pytest.mark.parametrize(("change", "match"), [
    (lambda record: {**record, "identity": "0" * 16}, "model probe is not the one that the bundle was measured on"),
    (lambda record: {**record, "tasks": {"multikey-512-full": "probe-0"}}, "task multikey-512-full is not what"),
    (lambda record: {**record, "tasks": {**record["tasks"], "math:small": "x"}}, "task math:small .* x then, absent now"),
    (lambda record: {**without(record, "identity_by_sizes"), "identity": record["identity_by_sizes"]}, ""),
    (lambda record: without(record, "identity_by_sizes"), "model probe is not the one"),
    (lambda record: without(record, "identity_by_sizes", "identity", "tasks"), ""),
    (lambda record: {**record, "cores": 1000, "processor": "another"}, ""),
], ids=["model", "task", "no task", "an earlier version's model", "another model of then", "before either", "machine"])
def test_what_was_written_down_of_tasks_and_model_is_held(made: Campaign, tmp_path: Path, change: Any, match: str) -> None:
    here = measured(made)
    taken = bundle(made, change(here), tmp_path / "out")
    if not match:
        check_same(taken, here)
        return
    with pytest.raises(BundleError, match=match):
        check_same(taken, here)
