"""`vortex prompt`: what it prints is what the proposer would ask, and nothing is written or sent."""
import json
import re
from pathlib import Path

import pytest

from agent import opening
from agent.campaign import load
from agent.cli.main import main
from agent.judge import load_untrusted
from agent.prompts import LIMIT, STABLE
from search.candidate import Draft
from search.store.archive import open_archive
from tests.search import made
from vortex import flows
from vortex.ir import Geometry

CAMPAIGN = """
[campaign]
name = "told"
goal = "more for less"
[point]
model = "probe"
[[proposer]]
kind = "evolve"
[[proposer]]
kind = "one-shot"
model = "scripted:answers.jsonl"
theme = "values"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "told.toml"
    path.write_text(CAMPAIGN)
    return path


def archived(file: Path, db: Path) -> None:
    """A campaign with quest, measured."""
    campaign = load(str(file))
    archive = open_archive(db)
    opening.enter(archive, campaign)
    _, text, path = flows.read("quest")
    flow, refusal = load_untrusted(path, text, Geometry(16, 64, 2))
    assert refusal is None
    one = archive.add_candidate(Draft(campaign="told", round=1, slot=0, name="quest", flow=flow, author="evolve",
                                      point=campaign.point))
    like = made.entry(one.id, 0.7, 2.5)
    book = archive.book(one)
    for row in like.rows:
        book.add(row)
    for result in like.report.results:
        book.close(result)
    archive.finish(one, like.report.status)
    archive.close()


def test_a_campaign_that_never_ran_is_told_from_its_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_ok(["prompt", str(file), "--db", str(tmp_path / "none.db"), "--count", "1"])
    out = capsys.readouterr().out
    assert 'Goal of the campaign: "more for less"' in out and 'Theme of this round: "values"' in out
    assert re.search(r"round 1/one-shot/0: [\d,]+ characters, 9\d% of them the same in every round; about [\d,]+ tokens\n$", out)
    assert not (tmp_path / "none.db").exists()


def test_a_campaign_of_the_archive_is_told_with_its_evidence(file: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    db = tmp_path / "results.db"
    archived(file, db)
    main_ok(["prompt", "told", "--db", str(db), "--proposer", "reflective", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["key"] == "round 2/reflective/0"
    assert told["characters"] <= LIMIT and told["stable_share"] >= STABLE
    assert '### 1 "quest"' in told["ask"]["messages"][0]["parts"][0]["text"]
    archive = open_archive(db)
    assert archive.notes("told") == () and archive.ledger("told").calls() == () and len(archive.candidates("told")) == 1


@pytest.mark.parametrize(("words", "message"), [
    (["--proposer", "evolve"], "proposer evolve asks no model"),
    (["--proposer", "reflectiv"], "Did you mean 'reflective'?"),
    (["--proposer", "merge"], "merge has nothing to ask yet"),
    (["--prompts", "nowhere"], "there is no folder nowhere"),
])
def test_what_cannot_be_told_is_one_error(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str],
                                          message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prompt", str(file), "--db", str(tmp_path / "none.db"), *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def main_ok(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
