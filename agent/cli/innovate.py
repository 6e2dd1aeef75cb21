"""`vortex innovate N --theme TEXT`: new ideas of a language model that are legal flows; nothing is measured."""
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import campaign as campaigns
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import columns, to_json
from agent.cli.words import short
from agent.innovate import MOST, campaign_for, file_name, innovate, legal
from agent.prepare import prepare
from agent.watch import Quiet as Silent
from evaluator.report import Report, Status
from search.candidate import Candidate
from search.frontier import Standing
from search.store.archive import Archive, open_archive

WIDE = 64


def command(
    number: Annotated[int, typer.Argument(metavar="N", min=1, max=MOST, help="How many ideas.")],
    theme: Annotated[str, typer.Option(help='What they are about: "summaries of a few bits".')] = "",
    model: Annotated[str, typer.Option(help="claude-..., gpt-..., openai:NAME, scripted:FILE; else that of LIKE.")] = "",
    like: Annotated[str, typer.Option(help="The campaign whose model, block size and goal they are for.")] = "quickstart",
    to: Annotated[Path | None, typer.Option(help="The folder of the files; else one of the ideas' own name.")] = None,
    dollars: Annotated[float | None, typer.Option(min=0.001, help="Spend at most this.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Ask a language model for N new flows that compile.

    What the model gets wrong goes back to it once or twice; no device is used. Each legal idea becomes a file and a
    candidate of the archive: judge one with `vortex eval FILE`, or see it with `vortex show`. The same command goes on
    after Ctrl-C, and with a larger N it asks for more. Exit code 1 when fewer than N came.
    """
    campaign = campaign_for(campaigns.load(like), theme, model, dollars)
    ready = prepare(campaign)
    archive, folder = open_archive(db), to or Path(campaign.name)
    watch = Silent() if json else Lines()
    finished = innovate(campaign, ready, archive, watch, number, folder)
    found = legal(archive, campaign.name)
    if json:
        print(to_json(_json(archive, campaign.name, found, folder)))
    else:
        print(_table(archive, campaign.name, found, folder, number))
    if not finished:
        raise typer.Exit(130)
    if len(found) < number:
        raise typer.Exit(1)


class Lines(Silent):
    """A line an idea that did not become one; the table tells of the others."""

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None:
        if candidate.status is Status.DUPLICATE:
            print(f"known    {short(candidate.name, WIDE)}: same as {candidate.duplicate_of}", flush=True)
        elif candidate.status is not Status.OK:
            why = " ".join(report.results[-1].message.split()) if report.results else ""
            print(f"refused  {short(f'{candidate.name}: {why}', 2 * WIDE)}", flush=True)
        else:
            print(f"legal    {short(candidate.name, WIDE)}", flush=True)

    def note(self, text: str) -> None:
        print(text, flush=True)


def _table(archive: Archive, campaign: str, found: list[Candidate], folder: Path, number: int) -> str:
    rows = [("#", "idea", "bytes a block", "why", "file")]
    for one in found:
        static = archive.report(one).result("static")
        size = "-" if static is None else f"{static.facts['index_bytes_per_block']:,}"
        rows.append((str(one.id), short(one.name, 32), size, short(one.hypothesis or "-", WIDE), str(folder / file_name(one))))
    spent = archive.ledger(campaign).spent()
    cost = f"{spent.calls} call{'' if spent.calls == 1 else 's'}, {spent.tokens:,} tokens, ${spent.dollars:.2f}"
    end = f"{len(found)} of {number} ideas; {cost}; campaign {campaign}"
    return f"{columns(rows)}\n{end}" if found else end


def _json(archive: Archive, campaign: str, found: list[Candidate], folder: Path) -> dict[str, Any]:
    spent = archive.ledger(campaign).spent()
    ideas = [{"id": one.id, "name": one.name, "hypothesis": one.hypothesis, "flow_hash": one.flow.hash,
              "file": str(folder / file_name(one)), "source": one.flow.source} for one in found]
    return {"campaign": campaign, "ideas": ideas, "calls": spent.calls, "tokens": spent.tokens, "dollars": spent.dollars}
