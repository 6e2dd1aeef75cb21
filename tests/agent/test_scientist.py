"""The scientist: its conversation, how it ends, what a kill costs; and a scripted campaign from the command line to the end."""
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.caller import Caller
from agent.desk import Desk
from agent.loading import Loading
from agent.models.base import Answer, Ask, Message, Model, Part, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from agent.proposers.base import Proposal, Round
from agent.proposers.scientist import KIND, make
from agent.purse import Limits, Purse
from agent.transcript import transcript
from search.store.archive import open_archive
from tests.agent.test_tools import BROKEN, CLAIM, OWN
from tests.models.asking import KEY, NAMES, connect
from tests.models.loopback import Loopback, serve
from tests.models.protocols import Reply
from vortex.config import OperatingPoint
from vortex.errors import CampaignError, Unavailable
from vortex.ir import Geometry

ROOT = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent / "transcript" / "scientist.txt"
LOAD = Loading(Geometry(16, 64, 2))
SETTINGS = {"stage": [{"name": "static"}], "campaign": {"goal": ""}}
OTHER = OWN.replace("(dim=2).max", "(dim=2).mean")


class Played:
    """A language model that says what it is told to, and remembers what it was asked. Named so that it costs nothing."""

    name = "scripted:played"

    def __init__(self, answers: Sequence[Sequence[Part] | BaseException], stop: Stop = Stop.END) -> None:
        self.answers, self.stop, self.asks = list(answers), stop, list[Ask]()

    def ask(self, ask: Ask) -> Answer:
        self.asks.append(ask)
        said = self.answers[len(self.asks) - 1]
        if isinstance(said, BaseException):
            raise said
        stop = Stop.TOOLS if any(isinstance(part, ToolCall) for part in said) else self.stop
        return Answer(parts=tuple(said), stop=stop, usage=Usage(input=10, output=5), model=self.name)


def call(tool: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(f"{tool} {len(json.dumps(arguments))}", tool, arguments)


def submission(name: str, source: str = OWN) -> ToolCall:
    return call("submit", name=name, source=source, **CLAIM)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[..., Round]]:
    """A round of a campaign without candidates, whose desk asks the model that is given."""
    archive = open_archive(tmp_path / "results.db")
    archive.create_campaign("made", "", SETTINGS, 1)
    ledger = archive.ledger("made")

    def begun(model: Model, calls: int | None = None, number: int = 3) -> Round:
        purse = Purse(ledger=ledger, campaign=Limits(calls=calls), proposers={}, left_s=lambda: 60.0)
        desk = Desk(campaign="made", goal="", proposer=KIND, key=f"round {number}/{KIND}", archive=archive, entries=(),
                    caller=Caller(model, ledger, purse, KIND), load=LOAD)
        return Round(number=number, parents=(), seeds=(), geometry=Geometry(16, 64, 2), point=OperatingPoint(topk_ratio=0.25),
                     knobs=(("topk_ratio", (0.125, 0.25)),), desk=desk)

    yield begun
    archive.close()


def proposed(round: Round, count: int = 1, **settings: Any) -> list[Proposal]:
    return list(make(settings).propose(round, Random(0), count))


def results(ask: Ask) -> list[ToolResult]:
    return [part for part in ask.messages[-1].parts if isinstance(part, ToolResult)]


def test_it_drafts_looks_and_submits_and_the_round_ends_with_its_last_place(room: Callable[..., Round]) -> None:
    model = Played([[Thinking("hm", "signed"), Text("Looking."), call("frontier"), call("draft", name="mine", source=OWN)],
                    [call("cost", flow="mine"), submission("mean and peak", "mine"), submission("one too many", OTHER)]])
    (one,) = proposed(room(model))
    assert (one.name, one.source, one.author) == ("mean and peak", OWN, KIND)
    assert one.claim is not None and one.claim.refuted_by == "No gain over 2."
    assert one.hypothesis == "Peaks are kept. Predicts accuracy up by 0.02. Refuted by: No gain over 2."
    first, second = model.asks
    assert second.messages[1] == Message("assistant", tuple(model.answers[0]))           # thinking goes back as it came
    assert [result.failed for result in results(second)] == [False, False]
    assert second.messages[:1] == first.messages and (second.system, second.tools) == (first.system, first.tools)


def test_two_submissions_of_one_algorithm_take_one_place(room: Callable[..., Round]) -> None:
    renamed = OWN.replace("mean and peak", "other").replace("MeanAndPeak", "Other")
    model = Played([[submission("a"), submission("b", renamed)], [submission("c", OTHER)]])
    assert [one.name for one in proposed(room(model), 2)] == ["a", "c"]
    assert "this flow was handed in before" in results(model.asks[1])[1].text


def test_after_a_kill_recorded_turns_are_not_asked_again_and_it_proposes_the_same(room: Callable[..., Round]) -> None:
    said = [[call("draft", name="mine", source=OWN), call("notebook", question="Does the mean matter?")], [call("notebook")],
            [submission("mean and peak", "mine")]]
    whole = proposed(room(Played([*said]), number=7))
    with pytest.raises(KeyboardInterrupt):
        proposed(room(Played([*said[:2], KeyboardInterrupt()])))
    rest = Played([said[2]])
    assert proposed(room(rest)) == whole
    (ask,) = rest.asks
    assert len(ask.messages) == 5
    # What it wrote in this round it reads in the next one: it is told the same when it begins again.
    assert "Does the mean matter?" not in results(ask)[0].text


def test_a_refused_flow_comes_back_with_its_fix(room: Callable[..., Round]) -> None:
    model = Played([[submission("mine", BROKEN)], [submission("mine")]])
    assert [one.source for one in proposed(room(model))] == [OWN]
    (told,) = results(model.asks[1])
    assert told.failed and "UnknownOp" in told.text and "Did you mean" in told.text


def test_arguments_that_are_not_json_are_told_so(room: Callable[..., Round]) -> None:
    model = Played([[ToolCall("1", "submit", {}, broken='{"name": "x", "source": "from vor')], [submission("mine")]])
    assert len(proposed(room(model))) == 1
    assert "the arguments are not JSON" in results(model.asks[1])[0].text


@pytest.mark.parametrize("again", [call("frontier"), ToolCall("1", "check", {}, broken="{")])
def test_one_that_asks_the_same_for_ever_is_stopped(room: Callable[..., Round], again: ToolCall) -> None:
    model = Played([[again]] * 50)
    assert proposed(room(model), repeats=3) == []
    assert len(model.asks) == 4
    assert "asked 2 times" in results(model.asks[2])[0].text


def test_a_draft_that_was_written_over_may_be_asked_about_again(room: Callable[..., Round]) -> None:
    turns = [[call("draft", name="x", source=OWN + f"# {n}\n"), call("check", flow="x")] for n in range(5)]
    model = Played([*turns, [submission("mine", "x")]])
    assert len(proposed(room(model), repeats=2)) == 1
    assert not any(result.failed for ask in model.asks[1:] for result in results(ask))


def test_one_that_only_talks_is_reminded_once_and_what_it_wrote_is_taken(room: Callable[..., Round]) -> None:
    talk = [Text(f"I propose this.\n```python\n{OWN}```\n")]
    model = Played([talk, talk])
    (one,) = proposed(room(model))
    assert one.source.strip() == OWN.strip()
    assert "hand in a flow with `submit`" in str(model.asks[1].messages[-1].parts)


@pytest.mark.parametrize(("parts", "stop"), [((), Stop.END), ((Text("I cannot help with that."),), Stop.REFUSED)])
def test_a_refusal_and_an_empty_answer_end_it(room: Callable[..., Round], parts: tuple[Part, ...], stop: Stop) -> None:
    model = Played([parts] * 3, stop)
    assert proposed(room(model)) == []
    assert len(model.asks) == 1


def test_turns_end_and_the_model_is_told_before(room: Callable[..., Round]) -> None:
    model = Played([[call("check", flow=f"{OWN}# {n}\n")] for n in range(9)])
    assert proposed(room(model), turns=5) == []
    assert len(model.asks) == 5
    assert "1 turn left, and 1 to submit." in str(model.asks[-1].messages[-1].parts[-1])


def test_what_tools_say_in_one_conversation_is_bounded(room: Callable[..., Round]) -> None:
    topics = ("ops", "flows", "quest", "lserve", "centroid", "twilight", "h2o", "rocketkv")
    model = Played([[call("read", topic=topic)] for topic in topics])
    proposed(room(model), turns=len(topics), characters=8000)
    assert sum(len(result.text) for ask in model.asks for result in results(ask)) < 8000 + 700 * len(topics)
    assert "more characters are left out" in results(model.asks[-1])[0].text


def test_what_was_submitted_is_kept_when_the_budget_ends_or_the_provider_fails(room: Callable[..., Round]) -> None:
    found = []
    with pytest.raises(Unavailable):
        for one in make({}).propose(room(Played([[submission("a")], Unavailable("gone")])), Random(0), 2):
            found.append(one.name)
    assert found == ["a"]


@pytest.mark.parametrize("name", NAMES)
def test_it_works_in_every_protocol(name: str, room: Callable[..., Round], monkeypatch: pytest.MonkeyPatch,
                                    tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(f'[models."{name}"]\ninput = 1.0\noutput = 1.0\n')
    monkeypatch.setenv("VORTEX_PRICES", str(tmp_path / "prices.toml"))
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(key, KEY)
    said = iter([(Text("I look."), ToolCall("c1", "frontier"), ToolCall("c2", "draft", {"name": "mine", "source": OWN})),
                 (ToolCall("c3", "submit", {"name": "a", "source": "mine", **CLAIM}),)])
    with serve(Loopback(answer=lambda words, body: Reply(parts=next(said), stop=Stop.TOOLS))) as loopback:
        (one,) = proposed(room(connect(name, loopback)), turns=2)
    assert (one.name, one.source, len(loopback.requests)) == ("a", OWN, 2)
    sent = json.dumps(loopback.requests[1][2])
    assert 0 < sent.index("kept as 'mine'") < sent.index("1 turn left, and 1 to submit.")


def test_the_prompt_is_short_and_mostly_the_same_in_every_round(room: Callable[..., Round]) -> None:
    model = Played([()])
    proposed(room(model))
    system, text = sum(len(one.text) for one in model.asks[0].system), model.asks[0].messages[0].parts[0]
    tools = len(json.dumps(model.asks[0].to_json()["tools"]))
    assert isinstance(text, Text) and system + tools + len(text.text) <= 45_000
    assert (system + tools) / (system + tools + len(text.text)) >= 0.7


def test_a_round_without_a_desk_and_an_unknown_setting_are_refused(room: Callable[..., Round]) -> None:
    with pytest.raises(CampaignError, match="scientist needs a model"):
        proposed(Round(number=1, parents=(), seeds=(), geometry=Geometry(16, 64, 2), point=OperatingPoint()))
    with pytest.raises(CampaignError) as caught:
        make({"turn": 3})
    assert caught.value.hint == "Settings of scientist: turns, repeats, characters."


# A whole campaign.

CAMPAIGN = '''[campaign]
name     = "bench"
seed     = 3
controls = ["dense", "quest"]
[budget]
candidates = {rounds}
minutes    = 10
round_size = 1
[point]
model      = "probe"
topk_ratio = [0.125, 0.25]
[[proposer]]
kind  = "scientist"
model = "scripted:{script}"
[[stage]]
name = "static"
[[stage]]
name    = "retrieval"
tasks   = ["multikey-512-full"]
samples = 2
[[stage]]
name    = "speed"
batch   = 2
context = 1024
steps   = 2
warmup  = 1
repeats = 2
'''


def script(rounds: int) -> str:
    """Three turns a round: look, draft and cost, submit."""
    lines = []
    for n in range(1, rounds + 1):
        source = OWN.replace("+ (q *", f"+ {n / 8} * (q *")
        lines += [{"thinking": "What is known?", "calls": [said("frontier"), said("notebook")]},
                  {"text": "A draft.", "calls": [said("draft", name=f"mix {n}", source=source),
                                                 said("cost", flow=f"mix {n}")]},
                  {"calls": [said("submit", name=f"mean and {n / 8} peak", source=f"mix {n}", **CLAIM)]}]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def said(tool: str, /, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


def vortex(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "agent.cli.main", *map(str, words)]


def written(folder: Path, rounds: int) -> Path:
    (folder / "answers.jsonl").write_text(script(rounds))
    path = folder / "bench.toml"
    path.write_text(CAMPAIGN.format(rounds=rounds, script=folder / "answers.jsonl"))
    return path


@pytest.mark.server
def test_a_campaign_killed_in_the_middle_ends_and_pays_no_turn_twice(tmp_path: Path) -> None:
    path, db = written(tmp_path, 3), tmp_path / "results.db"
    process = subprocess.Popen(vortex("run", path, "--json", "--db", db), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:                                       # in the middle of judging the second round's flow
        event = json.loads(line)
        if event["event"] == "candidate_started" and event.get("round") == 2:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    again = subprocess.run(vortex("resume", "bench", "--quiet", "--db", db), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stdout + again.stderr

    archive = open_archive(db)
    assert [(one.round, one.author) for one in archive.candidates("bench")][2:] == [(n, KIND) for n in (1, 2, 3)]
    calls = archive.ledger("bench").calls()
    assert [one.key for one in calls] == [f"round {n}/scientist/turn {t}" for n in (1, 2, 3) for t in (1, 2, 3)]
    assert all(one.state == "answered" for one in calls)
    told = figures(transcript(calls))
    archive.close()
    (tmp_path / "scientist.txt").write_text(told)
    assert told == GOLDEN.read_text(), f"read {tmp_path}/scientist.txt, and copy it to {GOLDEN} to accept it"


MEASURED = re.compile("±|^#  |more within noise|^(hypothesis|question|non-lever|anti-pattern): |nothing is written there yet")


def figures(text: str) -> str:
    """What the model said and what tools told it, without prompts, what was measured, and keys of fences."""
    kept, skipped = [], False
    for line in text.splitlines():
        if line.startswith("==="):
            kept.append(line)
            skipped = line.endswith("turn 1")
        elif not (skipped := skipped and line != "--- assistant") and not MEASURED.search(line):
            kept.append(re.sub("data [0-9a-f]{8}", "data KEY", line))
    return "\n".join(kept) + "\n"
