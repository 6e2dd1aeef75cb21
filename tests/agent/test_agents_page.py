"""docs/agents.md is true: its campaign and its answer are read by what reads them, its lists are those of the code."""
import json
import re
from pathlib import Path

import pytest

from agent.answers import read_answer
from agent.campaign import load
from agent.claims import Claim, Prediction
from agent.models import scripted
from agent.models.base import Ask
from agent.patterns import TWICE
from agent.prompts import LIMIT
from agent.proposers.registry import PROPOSERS
from agent.tools.all import TOOLS
from agent.verdict import MARGINS, Ruling
from vortex.compiler.front import load as load_flow
from vortex.ir import Geometry

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def block(language: str) -> str:
    return next(text for kind, text in BLOCK.findall(PAGE) if kind == language)


def test_its_campaign_is_one(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(block("toml"))
    campaign = load(str(path))
    assert [spec.kind for spec in campaign.proposers] == ["reflective", "scientist", "evolve"]
    assert campaign.dollars == 5.0


def test_its_answer_is_a_flow_with_a_claim(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(json.loads(block("json"))) + "\n")
    answer = scripted.connect(f"scripted:{path}").ask(Ask(system=(), messages=()))
    found, = read_answer(answer)
    assert load_flow(found.source, found.name, Geometry()).hash
    assert found.hypothesis == Claim(mechanism="The head that is surest should decide.", refuted_by="no gain on needles",
                                     prediction=(Prediction("accuracy", "up", 0.02), Prediction("speed", "same", 0.05)))


@pytest.mark.parametrize("kind", PROPOSERS)
def test_every_proposer_is_told_of(kind: str) -> None:
    assert f"\n| `{kind}` |" in PAGE


def test_tools_verdicts_and_numbers_are_those_of_the_code() -> None:
    listed = re.search(r"get the same tools: (.*?)\. They", PAGE, re.DOTALL)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == [tool.name for tool in TOOLS]
    assert all(f"\n| {ruling} |" in PAGE for ruling in Ruling)
    assert f"{LIMIT:,} characters" in PAGE
    assert (MARGINS["accuracy"], TWICE) == (0.02, 2)
