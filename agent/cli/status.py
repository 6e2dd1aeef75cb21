"""`vortex status`: the campaigns of the archive and how far they are."""
from collections import Counter
from typing import Annotated, Any

import typer

from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import columns, duration_text, to_json
from agent.opening import recorded, spent_s
from search.store.archive import Archive, open_archive
from search.store.convert import CampaignRecord


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this campaign.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Each campaign: state, candidates judged of those it may judge, how they ended, time spent."""
    archive = open_archive(db, create=False)
    records = archive.campaigns() if name is None else (recorded(archive, name),)
    told = [_told(archive, record) for record in records]
    if json:
        print(to_json(told))
    elif not told:
        print("there is no campaign yet; start one: vortex run quickstart")
    else:
        print(columns([("campaign", "state", "candidates", "time", "ended"), *(_line(one) for one in told)]))


def _told(archive: Archive, record: CampaignRecord) -> dict[str, Any]:
    judged = [one for one in archive.candidates(record.name) if one.round > 0 and one.status is not None]
    return {"name": record.name, "state": record.state, "judged": len(judged),
            "candidates": record.settings.get("budget", {}).get("candidates"), "seconds": spent_s(archive, record.name),
            "ended": dict(Counter(str(one.status) for one in judged).most_common())}


def _line(one: dict[str, Any]) -> tuple[str, ...]:
    ended = ", ".join(f"{count} {status}" for status, count in one["ended"].items())
    return one["name"], one["state"], f'{one["judged"]}/{one["candidates"]}', duration_text(one["seconds"]), ended
