"""The MCP server, spoken to by the SDK's own client over stdin and stdout as an editor does it."""
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from agent import campaign as campaigns
from agent.claims import Claim
from agent.cli.main import COMMANDS
from agent.opening import enter
from agent.outside import AUTHOR, Outside
from agent.prepare import prepare
from agent.tools.bench import Flow, Submission
from search.candidate import Draft
from search.store.archive import Archive, open_archive
from tests.agent.test_tools import BROKEN, CLAIM, OWN
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.errors import BudgetSpent

NAMES = ["read", "frontier", "show", "query", "notebook", "check", "same", "cost", "proxy", "draft", "submit"]
Call = Callable[..., Awaitable[tuple[bool, str]]]


def talk(db: Path, what: Callable[[Client, Call], Awaitable[None]], *words: str) -> None:
    """Starts a server for the campaign `smoke` with two samples, and does `what` with a client of it."""
    server = StdioServerParameters(command=sys.executable, cwd=Path(__file__).parent.parent.parent,
                                   args=["-m", "agent.cli.main", "mcp", "--campaign", "smoke", "--db", str(db), *words],
                                   env={"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)})

    async def run() -> None:
        async with Client(server) as client:
            async def call(tool: str, /, **arguments: Any) -> tuple[bool, str]:
                found = await client.call_tool(tool, arguments, read_timeout_seconds=100)
                return bool(found.is_error), "".join(part.text for part in found.content)
            await what(client, call)

    asyncio.run(run())


def test_a_client_reads_checks_and_asks(tmp_path: Path) -> None:
    async def what(client: Client, call: Call) -> None:
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == NAMES
        assert all(tool.description and tool.input_schema["type"] == "object" for tool in listed)
        assert "smoke" in (client.instructions or "")
        assert (await call("check", flow="quest"))[0] is False
        failed, text = await call("check", flow=BROKEN)
        assert failed and "UnknownOp" in text and "Did you mean" in text and "Traceback" not in text
        assert "the same algorithm" in (await call("same", a="quest", b="lserve"))[1]
        assert "8192" in (await call("cost", flow="quest"))[1]
        assert (await call("notebook", question="Does the sign matter?"))[0] is False
        assert "question: Does the sign matter?" in (await call("notebook"))[1]
        assert (await call("sell", price=3))[0] is True
        assert (await call("submit", name="x", source=OWN))[0] is True
        failed, text = await call("show", candidate=1)
        assert failed and "there is no candidate 1" in text

    talk(tmp_path / "results.db", what)


@pytest.mark.server
def test_what_a_client_submits_is_judged_and_stored_like_any_candidate(tmp_path: Path) -> None:
    async def what(client: Client, call: Call) -> None:
        failed, text = await call("submit", name="mean and peak", source=OWN, **CLAIM)
        assert not failed and "retrieval" in text and "speed" in text, text
        assert "mean and peak" in (await call("query", author=AUTHOR))[1]
        failed, text = await call("submit", name="again", source=OWN, **CLAIM)
        assert failed and "after rewriting: it is not run again" in text
        assert "dense" in (await call("frontier"))[1]
        assert "Peaks are kept." in (await call("show", candidate=1))[1]

    talk(tmp_path / "results.db", what, "--wait", "100")
    archive = open_archive(tmp_path / "results.db")
    mine = [one for one in archive.candidates("smoke") if one.author == AUTHOR]
    assert [(one.round, one.slot, one.name, str(one.status)) for one in mine] == [(1, 0, "mean and peak", "ok")]
    assert mine[0].hypothesis.startswith("Peaks are kept. Predicts accuracy up by 0.02.")
    record = archive.campaign("smoke")
    assert record is not None and record.state == "stopped"
    archive.close()


# Places of a campaign, without a server.

@pytest.fixture
def smoke(tmp_path: Path) -> tuple[Archive, Callable[[], Outside]]:
    archive, campaign = open_archive(tmp_path / "results.db"), campaigns.load("smoke")
    enter(archive, campaign)
    ready = prepare(campaign)
    return archive, lambda: Outside(campaign, ready, archive, wait_s=0.0)


def submission(number: int) -> Submission:
    source = OWN.replace("+ (q *", f"+ {number / 16} * (q *")
    campaign = campaigns.load("smoke")
    graph = load(source, "<flow>", prepare(campaign).geometry)
    return Submission(flow=Flow(name=f"flow {number}", source=source), graph=graph, hash=identity(graph), point=campaign.point,
                      claim=Claim(mechanism="m", refuted_by="r"))


def test_submissions_take_the_places_of_the_budget_and_no_more(smoke: tuple[Archive, Callable[[], Outside]]) -> None:
    archive, start = smoke
    outside = start()
    for number in range(6):
        outside.submit(submission(number))
    places = [(one.round, one.slot) for one in archive.candidates("smoke")]
    assert places == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    with pytest.raises(BudgetSpent, match="all 6 places of smoke are taken"):
        outside.submit(submission(6))


def test_a_round_that_the_search_began_keeps_its_places(smoke: tuple[Archive, Callable[[], Outside]]) -> None:
    archive, start = smoke
    outside = start()
    outside.submit(submission(0))
    first = archive.candidates("smoke")[0]
    archive.add_candidate(Draft(campaign="smoke", round=1, slot=1, name="drawn", flow=first.flow, point=first.point,
                                author="evolve"))
    outside.submit(submission(1))
    assert (archive.candidates("smoke")[-1].round, archive.candidates("smoke")[-1].slot) == (2, 0)


SMALL = '''[campaign]
name = "small"
controls = ["dense"]
[budget]
candidates = 2
round_size = 2
[point]
model = "probe"
[[stage]]
name = "static"
'''


@pytest.mark.server
def test_what_no_server_judged_is_judged_when_the_campaign_is_run(tmp_path: Path) -> None:
    path, db = tmp_path / "small.toml", tmp_path / "results.db"
    path.write_text(SMALL)
    archive, campaign = open_archive(db), campaigns.load(str(path))
    enter(archive, campaign)
    Outside(campaign, prepare(campaign), archive, wait_s=0.0).submit(submission(1))
    done = subprocess.run([sys.executable, "-m", "agent.cli.main", "run", str(path), "--quiet", "--db", str(db)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(one.round, one.slot, one.author, one.name, str(one.status)) for one in archive.candidates("small")]
    assert found[1] == (1, 0, AUTHOR, "flow 1", "ok") and found[2][:3] == (1, 1, "evolve")
    assert [note.candidate for note in archive.notes("small")] == [archive.candidates("small")[1].id]
    archive.close()


def test_the_page_for_agents_is_true() -> None:
    page = (Path(__file__).parent.parent.parent / "AGENTS.md").read_text()
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL))
    assert load(blocks["python"], "AGENTS.md", prepare(campaigns.load("smoke")).geometry)
    config = json.loads(blocks["json"])["mcpServers"]["vortex"]
    assert (config["command"], config["args"][0]) == ("vortex", "mcp") and "mcp" in COMMANDS
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(NAMES)
    assert set(re.findall(r"`vortex (\w+)", page)) <= set(COMMANDS)


def test_the_minutes_of_the_campaign_bound_submissions_too(smoke: tuple[Archive, Callable[[], Outside]]) -> None:
    archive, start = smoke
    archive.event("smoke", "spent", {"seconds": 601.0})
    with pytest.raises(BudgetSpent, match="the 10 minutes of smoke are used up"):
        start().submit(submission(0))
