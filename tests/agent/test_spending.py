"""What a campaign may spend, will spend and did spend, as its file says it and the commands show it."""
import json
from pathlib import Path

import pytest

from agent import campaign as campaigns
from agent.call_counts import counts
from agent.caller import Caller
from agent.cli.main import main
from agent.cli.money import count_text, money_text
from agent.estimate import Cost, estimate
from agent.models.base import Answer, Ask, Message, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from agent.proposers.registry import make_proposer
from agent.purse import Purse
from search.store import open_archive
from vortex.errors import CampaignError, Unavailable, Unpriced

FILE = """[campaign]
name = "mine"

[budget]
candidates = 64
dollars    = 20

[[proposer]]
kind = "evolve"

[[proposer]]
kind     = "reflective"
model    = "counted"
variants = 4
weight   = 3

[point]
model = "probe"
"""
PRICES = "[models.counted]\ninput = 3.0\noutput = 15.0\ncache_read = 0.3\ncache_write = 3.75\n"


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    monkeypatch.setenv("VORTEX_PRICES", str(tmp_path / "prices.toml"))


def written(folder: Path, text: str = FILE) -> str:
    (folder / "mine.toml").write_text(text)
    return str(folder / "mine.toml")


def told(capsys: pytest.CaptureFixture[str], *words: str | Path | int) -> str:
    """What a command prints; it must end well."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out = capsys.readouterr()
    assert ended.value.code == 0, out.err
    return out.out


# the campaign file

def test_budget_and_model_stand_in_the_resolved_campaign_and_absent_limits_do_not(tmp_path: Path) -> None:
    campaign = campaigns.load(written(tmp_path), ["proposer.reflective.dollars=5", "proposer.reflective.temperature=0.5"])
    body = json.loads(json.dumps(campaign.to_json()))
    assert body["budget"] == {"candidates": 64, "minutes": 10.0, "round_size": 8, "dollars": 20.0}
    assert body["proposer"] == [{"kind": "evolve", "weight": 1.0}, {"kind": "reflective", "weight": 3.0, "model": "counted",
                                "dollars": 5.0, "temperature": 0.5, "variants": 4}]
    assert campaigns.from_json(body, "mine") == campaign


def test_a_campaign_without_models_resolves_as_it_always_did() -> None:
    """Its settings stand in archives, and are compared with when it is gone on with."""
    assert campaigns.load("smoke").to_json()["budget"] == {"candidates": 6, "minutes": 10.0, "round_size": 3}
    assert campaigns.load("smoke").to_json()["proposer"] == [{"kind": "evolve", "weight": 1.0}]
    assert campaigns.load("smoke").hash == "4a9241e4a71506dd"


@pytest.mark.parametrize(("old", "new", "line", "match"), [
    ("dollars    = 20", "dollars = 0", 6, r"\[budget\] dollars: input should be greater than 0"),
    ("dollars    = 20", "calls = 1.5", 6, r"\[budget\] calls: input should be a valid integer"),
    ('"counted"', '"counted"\ntemperature = 3', 14, r"\[proposer\] temperature: input should be less than or equal to 2"),
    ('"counted"', '"counted"\nbase_url = "https://me:key@host/v1"', 14, r"\[proposer\] base_url: string should match"),
    ('"counted"', '"counted"\ndollars = -1', 14, r"\[proposer\] dollars: input should be greater than 0"),
    ('kind = "evolve"', 'kind = "evolve"\ndollars = 1', 8, "evolve: dollars is said of no model"),
])
def test_a_mistake_in_the_money_is_refused_at_its_line(tmp_path: Path, old: str, new: str, line: int, match: str) -> None:
    with pytest.raises(CampaignError, match=match) as refusal:
        campaigns.load(written(tmp_path, FILE.replace(old, new)))
    assert refusal.value.where.line == line and refusal.value.hint


def test_a_model_without_a_price_is_refused_when_a_file_is_loaded_and_not_when_the_archive_is_read(tmp_path: Path) -> None:
    with pytest.raises(Unpriced, match="'dear' has no price") as refusal:
        campaigns.load(written(tmp_path, FILE.replace("counted", "dear")))
    assert refusal.value.where.line == 13 and "VORTEX_PRICES" in refusal.value.hint
    body = campaigns.load(written(tmp_path)).to_json()
    body["proposer"][1]["model"] = "dear"
    assert campaigns.from_json(body, "mine").proposers[1].model == "dear"


# vortex estimate

@pytest.mark.parametrize(("kind", "settings", "usual", "most", "calls"), [
    ("reflective", {}, 4, 8, (4 / 4 * 1.25 + 1.2, 2 * 2 + 16)), ("reflective", {"fresh": False, "repairs": 0}, 8, 8, (2, 2)),
    ("reflective", {"repairs": 0, "fresh": False}, 0.5, 8, (0.5, 2)),
    ("one-shot", {"repairs": 0}, 3, 8, (3, 8)), ("one-shot", {"ideas": 4}, 8, 8, (2 + 2.4, 2 + 16)),
    ("merge", {"repairs": 1}, 2, 8, (2.6, 16)), ("knobs", {}, 3, 8, (1, 1)),
    ("scientist", {"turns": 10}, 4, 8, (10, 10 + 7)),        # all but one may be mended beside a conversation
])
def test_calls_of_a_round_by_kind(kind: str, settings: dict[str, object], usual: float, most: int,
                                  calls: tuple[float, float]) -> None:
    found = counts(make_proposer(kind, settings), usual, most, 1000)
    assert (found.usual, found.most) == pytest.approx(calls)


def test_an_estimate_follows_the_file(tmp_path: Path) -> None:
    found = estimate(campaigns.load(written(tmp_path)))
    line, = found.lines
    assert (found.rounds, line.label, line.share, found.ends_early) == (8, "reflective", 0.75, "")
    assert 8 <= line.expected.calls < line.worst.calls and line.expected.dollars < line.worst.dollars
    assert found.worst.dollars == 20 and found.expected == line.expected
    dearer = estimate(campaigns.load(written(tmp_path), ["budget.candidates=128"]))
    assert dearer.expected.dollars == pytest.approx(2 * found.expected.dollars)
    poor = estimate(campaigns.load(written(tmp_path), ["budget.dollars=0.01"]))
    assert poor.ends_early == "dollars" and poor.expected.dollars == pytest.approx(0.01)
    own = estimate(campaigns.load(written(tmp_path), ["proposer.reflective.calls=2"]))
    assert own.lines[0].expected.calls == own.lines[0].worst.calls == pytest.approx(2)


def test_a_cost_stops_at_the_first_limit_it_meets() -> None:
    whole = Cost(calls=100, tokens=1000, dollars=10)
    assert whole.within({"dollars": 5, "calls": 20, "tokens": None}) == Cost(calls=20, tokens=200, dollars=2)
    assert whole.within({"dollars": None}) == whole == whole.within({"dollars": 10})


def test_estimate_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "estimate", written(tmp_path))
    assert text.startswith("64 candidates in 8 rounds\nproposer")
    assert "The budget ($20.00) is never exceeded" in text
    text = told(capsys, "estimate", written(tmp_path), "--set", "budget.dollars=0.01")
    assert "expected to end the models' part early, by its dollars" in text
    body = json.loads(told(capsys, "estimate", written(tmp_path), "--json"))
    assert body["lines"][0]["model"] == "counted" and body["limits"]["dollars"] == 20
    assert "asks no language model" in told(capsys, "estimate", "smoke")
    free = told(capsys, "estimate", written(tmp_path, FILE.replace("dollars    = 20\n", "")))
    assert "No budget limits it" in free


# vortex status and vortex calls

class Talker:
    """Thinks, speaks, writes a terminal's red, and calls a tool; then fails."""

    name = "counted"

    def __init__(self) -> None:
        self.left = 2

    def ask(self, ask: Ask) -> Answer:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("overloaded")
        return Answer(parts=(Thinking("hm"), Text("an \x1b[31manswer"), ToolCall("1", "check", {"flow": "quest"})),
                      stop=Stop.TOOLS, usage=Usage(input=1000, output=200, cache_read=10), model="counted", seconds=2.0)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "results.db"
    archive = open_archive(path)
    archive.create_campaign("mine", FILE, campaigns.load(written(tmp_path)).to_json(), 0)
    ledger = archive.ledger("mine")
    asking = Caller(Talker(), ledger, Purse(ledger=ledger), "reflective")
    words = (Message("user", (Text("Propose."), ToolResult("1", "no such flow", failed=True))),)
    for number in range(2):
        asking.ask(f"round 1/reflective/{number}", Ask(system=(Text("The task."),), messages=words))
    with pytest.raises(Unavailable):
        asking.ask("round 1/reflective/2", Ask(system=(), messages=words))
    archive.close()
    return path


def test_status_shows_what_was_spent_and_by_whom(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "status", "--db", db)
    assert "$0.01 of $20.00, 2.42k tokens, 2 calls, 1 failed" in text
    assert text.splitlines()[2].split() == ["reflective", "0:04", "$0.01,", "2.42k", "tokens,", "2", "calls,", "1", "failed"]
    told_json, = json.loads(told(capsys, "status", "--json", "--db", db))
    assert told_json["spent"] == {"dollars": 0.012006, "tokens": 2420, "calls": 2, "failed": 1, "in_flight": 0, "lost": 0,
                                  "in_flight_dollars": 0.0, "seconds": 4.0}
    assert told_json["by_proposer"]["reflective"] == told_json["spent"] and told_json["limits"]["dollars"] == 20


def test_calls_are_listed_and_one_is_shown_whole(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "calls", "mine", "--db", db).splitlines()
    assert len(lines) == 5 and "round 1/reflective/0" in lines[1] and "failed: Unavailable" in lines[3]
    assert lines[4] == "$0.01, 2.42k tokens, 2 calls, 1 failed"
    whole = told(capsys, "calls", "mine", 1, "--db", db)
    for part in ("The task.", "=== user", "Propose.", "(failed) no such flow", "(thinks) hm", '(calls check) {"flow": "quest"}',
                 "an \\x1b[31manswer", "max_tokens 8192", "1,000 in, 10 read from the cache"):
        assert part in whole, part
    body = json.loads(told(capsys, "calls", "mine", 1, "--json", "--db", db))
    assert body["answer"]["parts"][1]["text"] == "an \x1b[31manswer" and body["dollars"] == 0.006003
    assert [one["state"] for one in json.loads(told(capsys, "calls", "mine", "--json", "--db", db))] == [
        "answered", "answered", "failed"]
    assert told(capsys, "calls", "mine", "--proposer", "evolve", "--db", db) == "no call was made\n"


@pytest.mark.parametrize(("words", "match"), [
    (("mine", "99"), "the campaign made no call 99"), (("other",), "there is no campaign 'other' here"),
    (("mine", "1", "--settle", "1"), "call 1 is not lost: it is answered"),
    (("mine", "--settle", "1"), "say which call"),
])
def test_calls_that_are_not_there_are_refused(db: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...],
                                             match: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calls", *words, "--db", str(db)])
    assert ended.value.code == 2 and match in capsys.readouterr().err


def test_a_lost_call_is_shown_and_settled(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = open_archive(db)
    ledger = archive.ledger("mine")
    ledger.reserve("k", "reflective", "counted", {"messages": []}, 0.5)
    ledger.lost("k", "BrokenAnswer", "half an answer")
    archive.close()
    assert "1 lost (≤ $0.50)" in told(capsys, "status", "--db", db)
    assert "$0.25 of at most $0.50" in told(capsys, "calls", "mine", 4, "--settle", "0.25", "--db", db)
    assert "$0.26 of $20.00, 2.42k tokens, 2 calls, 2 failed" in told(capsys, "status", "--db", db)


@pytest.mark.parametrize(("dollars", "text"), [(0, "$0"), (0.00001, "<$0.0001"), (0.0042, "$0.0042"), (1.234, "$1.23"),
                                               (1204.5, "$1,204.50")])
def test_money_in_words(dollars: float, text: str) -> None:
    assert money_text(dollars) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (812, "812"), (45_000, "45k"), (999_499, "999k"), (999_600, "1M"),
                                             (3_400_000, "3.4M")])
def test_counts_in_words(count: int, text: str) -> None:
    assert count_text(count) == text
