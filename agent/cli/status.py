"""`vortex status`: the campaigns of the archive and how far they are."""
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agent.campaign import LIMITS
from agent.cli.money import spent_text
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import columns, duration_text, to_json
from agent.confirming import uses
from agent.opening import recorded, spent_s
from search.store.archive import Archive, open_archive
from search.store.calls import Spent
from search.store.convert import CampaignRecord


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this campaign.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Each campaign: state, candidates judged of those it may judge, time and money spent, how candidates ended, and how
    many of them met problems that the search must not learn from."""
    archive = open_archive(db, create=False)
    records = archive.campaigns() if name is None else (recorded(archive, name),)
    told = [_told(archive, record) for record in records]
    if json:
        print(to_json([_body(one) for one in told]))
    elif not told:
        print("there is no campaign yet; start one: vortex run quickstart")
    else:
        print(columns(_table(told)))


def _told(archive: Archive, record: CampaignRecord) -> dict[str, Any]:
    judged = [one for one in archive.candidates(record.name) if one.round > 0 and one.status is not None]
    budget, ledger = record.settings.get("budget", {}), archive.ledger(record.name)
    return {"name": record.name, "state": record.state, "judged": len(judged), "candidates": budget.get("candidates"),
            "seconds": spent_s(archive, record.name), "ended": dict(Counter(str(one.status) for one in judged).most_common()),
            "exams": dict(uses(archive, record.name)), "limits": {name: budget.get(name) for name in LIMITS},
            "spent": ledger.spent(), "by_proposer": {name: ledger.spent(name) for name in ledger.proposers()}}


def _body(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "spent": _sums(one["spent"]), "by_proposer": {name: _sums(s) for name, s in one["by_proposer"].items()}}


def _sums(spent: Spent) -> dict[str, Any]:
    return {"dollars": spent.dollars, "tokens": spent.tokens, "calls": spent.calls, "failed": spent.failed,
            "in_flight": spent.in_flight, "lost": spent.lost, "in_flight_dollars": spent.in_flight_dollars,
            "seconds": spent.seconds}


def _table(told: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A line a campaign, and below it one for each proposer that made calls; no column of money or exams without any."""
    paid = any(one["by_proposer"] or any(one["limits"].values()) for one in told)
    tried = any(one["exams"] for one in told)
    rows: list[tuple[str, ...]] = [("campaign", "state", "candidates", "time", *(["spent"] if paid else []), "ended",
                                    *(["exams"] if tried else []))]
    for one in told:
        ended = ", ".join(f"{count} {status}" for status, count in one["ended"].items())
        exams = ", ".join(f"{part} {count}" for part, count in one["exams"].items())
        spent = [_spent(one["spent"], one["limits"])] if paid else []
        rows.append((one["name"], one["state"], f'{one["judged"]}/{one["candidates"]}', duration_text(one["seconds"]),
                     *spent, ended, *([exams or "-"] if tried else [])))
        rows.extend((f"  {name}", "", "", duration_text(own.seconds), spent_text(own))
                    for name, own in one["by_proposer"].items())
    return rows


def _spent(spent: Spent, limits: dict[str, Any]) -> str:
    return spent_text(spent, limits["dollars"]) if spent != Spent() or any(limits.values()) else "-"
