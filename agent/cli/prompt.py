"""`vortex prompt CAMPAIGN`: what a language model would be told now, and how long that is."""
import json as jsons
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from agent import opening
from agent.campaign import Campaign, find, load
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import to_json
from agent.models.base import Ask, Text
from agent.preview import preview
from agent.prompts import ROUNDS, check
from search.store.archive import Archive, open_archive
from vortex.errors import ArchiveError

CHARACTERS_A_TOKEN = 3.6              # of English with code; the provider counts for itself when it answers


def command(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="A campaign of the archive, or a campaign file.")],
    proposer: Annotated[str, typer.Option(metavar="KIND", help="Who asks; else the campaign's first that does.")] = "",
    count: Annotated[int, typer.Option(min=1, help="How many flows are asked for.")] = 4,
    prompts: Annotated[Path | None, typer.Option(help="A folder of templates in place of the campaign's.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """What a model would be told in the next round, word by word. Nothing is sent and nothing is written."""
    with _opened(campaign, db) as (found, archive):
        folder = prompts or (Path(found.prompts) if found.prompts else None)
        if folder is not None:
            check(folder)
        kind = proposer or next((spec.kind for spec in found.proposers if spec.kind in ROUNDS), "reflective")
        key, ask = preview(found, archive, kind, count, folder)
    sizes = _sizes(ask)
    if json:
        print(to_json({"key": key, **sizes, "ask": ask.to_json()}))
        return
    print("\n\n".join(text for text in (*_stable(ask), *_changing(ask))))
    print(f"\n{'-' * 80}\n{key}: {sizes['characters']:,} characters, {sizes['stable_share']:.0%} of them the same in every "
          f"round; about {sizes['tokens_about']:,} tokens" + (f"; {len(ask.tools)} tools" if ask.tools else ""))


@contextmanager
def _opened(name: str, db: str) -> Iterator[tuple[Campaign, Archive]]:
    """The campaign as the archive keeps it; one that never ran stands in its file, and before an empty archive.

    Raises CampaignError.
    """
    try:
        archive: Archive | None = open_archive(db, create=False)
    except ArchiveError:
        archive = None
    if archive is not None and archive.campaign(name) is not None:
        yield opening.reopen(archive, name), archive
        return
    found = load(str(find(name)))
    if archive is not None and archive.campaign(found.name) is not None:
        yield found, archive
        return
    with TemporaryDirectory() as folder:
        empty = open_archive(Path(folder) / "empty.db")
        try:
            yield found, empty
        finally:
            empty.close()


def _stable(ask: Ask) -> list[str]:
    return [text.text.strip() for text in ask.system]


def _changing(ask: Ask) -> list[str]:
    return [part.text for message in ask.messages for part in message.parts if isinstance(part, Text)]


def _sizes(ask: Ask) -> dict[str, Any]:
    tools = len(jsons.dumps(ask.to_json()["tools"])) if ask.tools else 0
    stable, changing = sum(map(len, _stable(ask))) + tools, sum(map(len, _changing(ask)))
    return {"characters": stable + changing, "stable_share": stable / (stable + changing),
            "tokens_about": round((stable + changing) / CHARACTERS_A_TOKEN)}
