"""`vortex innovate`: N ideas that compile, as files and in the archive, with no device and nothing paid twice."""
import json
from itertools import count
from pathlib import Path

import pytest

from agent.campaign import load
from agent.innovate import campaign_for, file_name, innovate, legal
from agent.prepare import prepare
from agent.watch import Quiet
from search.candidate import Candidate, Draft, flow_record
from search.store.archive import Archive, open_archive
from tests.agent.asking import FLOW
from tests.agent.test_scripted import vortex
from vortex import flows
from vortex.config import OperatingPoint
from vortex.errors import CampaignError, KeyRefused

BROKEN = FLOW.replace("@register", "@registr")


def answers(folder: Path, *texts: str) -> str:
    """A model that gives these answers, then new flows."""
    numbers = count(1)
    every = [*texts, *[FLOW] * 12]
    lines = [json.dumps({"text": text.format(n=next(numbers))}) for text in every]
    (folder / "answers.jsonl").write_text("\n".join(lines))
    return f"scripted:{folder / 'answers.jsonl'}"


def ideas(folder: Path, model: str, wanted: int) -> tuple[Archive, str]:
    campaign = campaign_for(load("smoke"), "peaks", model, None)
    archive = open_archive(folder / "results.db")
    assert innovate(campaign, prepare(campaign), archive, Quiet(), wanted, folder / "ideas")
    return archive, campaign.name


def test_ideas_come_as_files_that_load_and_repairs_are_included(tmp_path: Path) -> None:
    archive, name = ideas(tmp_path, answers(tmp_path, BROKEN), 3)
    found = legal(archive, name)
    assert len(found) == 3 and all(one.author == "one-shot" and one.flow.graph is not None for one in found)
    files = sorted((tmp_path / "ideas").iterdir())
    assert [path.name for path in files] == [file_name(one) for one in found]
    assert [path.read_text() for path in files] == [one.flow.source for one in found]
    assert [call.key for call in archive.ledger(name).calls()][-1].endswith("repair 1")
    before = len(archive.ledger(name).calls())
    ideas(tmp_path, f"scripted:{tmp_path / 'answers.jsonl'}", 3)
    assert len(archive.ledger(name).calls()) == before
    ideas(tmp_path, f"scripted:{tmp_path / 'answers.jsonl'}", 5)
    assert len(legal(archive, name)) == 5


def test_the_next_question_tells_the_ideas_that_were_had(tmp_path: Path) -> None:
    archive, name = ideas(tmp_path, answers(tmp_path), 5)
    told = [json.dumps(call.ask["messages"]) for call in archive.ledger(name).calls()]
    assert "idea-1" not in told[0] and "idea-1" in told[-1] and "have others" in told[-1]


def test_a_model_that_fails_is_the_error_and_what_came_is_kept(tmp_path: Path) -> None:
    model = answers(tmp_path)
    first = (tmp_path / "answers.jsonl").read_text().splitlines()[0]
    (tmp_path / "answers.jsonl").write_text(f"{first}\n" + json.dumps({"error": "KeyRefused", "text": "no"}))
    with pytest.raises(KeyRefused):
        ideas(tmp_path, model, 3)
    assert len(list((tmp_path / "ideas").iterdir())) == 1


def test_what_repeats_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(json.dumps({"text": FLOW.format(n=1), "repeat": True}))
    archive, name = ideas(tmp_path, f"scripted:{tmp_path / 'answers.jsonl'}", 5)
    assert len(legal(archive, name)) == 1 and len(archive.candidates(name)) <= 20


def test_without_a_model_it_says_how_to_name_one() -> None:
    with pytest.raises(CampaignError, match="none is named"):
        campaign_for(load("smoke"), "", "", None)
    assert campaign_for(load("claude"), "", "", 1.0).proposers[0].model == "claude-sonnet-5-5"


@pytest.mark.parametrize(("name", "file"), [
    ("Two Level/../Envelope", "0007-two-level-envelope.py"), ("../..", "0007-flow.py"), ("x" * 99, f"0007-{'x' * 48}.py"),
])
def test_a_file_is_named_by_what_a_file_may_be_called(name: str, file: str) -> None:
    draft = Draft(campaign="c", round=1, slot=0, name=name, flow=flow_record("quest", flows.read("quest")[1], None),
                  point=OperatingPoint(), author="one-shot")
    assert file_name(Candidate(**vars(draft), id=7)) == file


def test_the_command_tells_a_table_and_what_it_cost(tmp_path: Path) -> None:
    model = answers(tmp_path)
    done = vortex(tmp_path, "innovate", "2", "--theme", "peaks", "--model", model, "--to", "out")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 ideas; 2 calls" in done.stdout and "out/0001-idea-1.py" in done.stdout
    told = json.loads(vortex(tmp_path, "innovate", "2", "--theme", "peaks", "--model", model, "--to", "out", "--json").stdout)
    assert [one["name"] for one in told["ideas"]] == ["idea-1", "idea-2"] and told["calls"] == 2
