"""`vortex frontier [NAME]`: what no other beats, as a table, JSON, CSV or a picture."""
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import contest as contests
from agent.cli.options import DEFAULT_DB, Db
from agent.cli.standings import as_csv, caution, record, rest_text, shown, table
from agent.cli.text import to_json
from agent.opening import recorded
from search import where as questions
from search.contest import contest
from search.frontier import frontier
from search.plot import draw, draw_contest
from search.store.archive import Archive, open_archive
from vortex.errors import CampaignError


class By(StrEnum):
    PROPOSER = "proposer"


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A campaign; the latest one without.")] = None,
    format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.TABLE,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG) here as well.")] = None,
    where: Annotated[str, typer.Option(help='Only these: "accuracy >= dense - 0.02".')] = "",
    sort: Annotated[str, typer.Option(help="By this; -accuracy: largest first.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Also what is within noise or beaten.")] = False,
    by: Annotated[By | None, typer.Option(help="Compare those who proposed, at the same budget.")] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """The frontier of a campaign over accuracy and decode speed, with the controls beside it.

    With --by proposer: what each proposer reached with as many candidates, and with as many dollars, as the one that had
    the least of them; its best at each operating point; and all that it did. --plot draws hypervolume over both budgets.
    """
    archive = open_archive(db, create=False)
    campaign = recorded(archive, name).name
    if by is not None:
        if where or sort or all:
            raise CampaignError("--by compares proposers; --where, --sort and --all list candidates", hint="Leave those out.")
        print(compared(archive, campaign, format, plot))
        return
    print(told(archive, campaign, format, where, sort, all))
    if plot is not None:
        draw(frontier(archive.entries(campaign, exams=True)), campaign, plot)
        if format is Format.TABLE:
            print(f"plot: {plot}")


def compared(archive: Archive, campaign: str, format: Format, plot: Path | None) -> str:
    """What --by proposer prints; the picture is written as well."""
    found = contest(archive.entries(campaign), contests.costs(archive, campaign))
    if plot is not None:
        draw_contest(found.curves, campaign, plot)
    if format is Format.JSON:
        return to_json(contests.record(campaign, found))
    return contests.as_csv(found) if format is Format.CSV else contests.table(campaign, found)


def told(archive: Archive, campaign: str, format: Format = Format.TABLE, where: str = "", sort: str = "",
         all_of_them: bool = False) -> str:
    """What the command prints of a campaign. Raises QueryError."""
    entries = archive.entries(campaign, exams=True)
    known = frontier(entries)
    standings = list(shown(known, all_of_them or bool(where)))
    if where:
        standings = [one for one in standings if questions.where(where, known)(one)]
    if sort:
        standings = questions.order(sort)(standings)
    if format is Format.JSON:
        return to_json({"campaign": campaign, "accuracy_lengths": known.accuracy_lengths, "hypervolume": known.hypervolume,
                        "speed_lengths": known.speed_lengths, "candidates": [record(one) for one in standings]})
    if format is Format.CSV:
        return as_csv(standings)
    if not known.standings:
        return f"campaign {campaign}: no candidate has both accuracy and speed yet"
    candidates = {entry.candidate.id: entry.candidate for entry in entries}
    rest = "" if all_of_them or where else rest_text(known)
    return "\n".join(part for part in (table(known, standings, candidates), rest, caution(known)) if part)
