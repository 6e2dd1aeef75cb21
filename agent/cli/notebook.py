"""`vortex notebook [NAME]`: what a campaign learned, and what people tell it."""
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent import notebook
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import to_json
from agent.opening import recorded
from search.store.archive import Archive, open_archive
from search.store.notes import checked
from vortex.errors import CampaignError

MOST_TEXT = 2_000                     # a note goes into every prompt of the campaign


class Of(StrEnum):
    HYPOTHESIS = "hypothesis"
    ANTI_PATTERN = "anti-pattern"
    NON_LEVER = "non-lever"
    QUESTION = "question"
    STEER = "steer"


def command(  # noqa: PLR0913  # an option each
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A campaign; the latest one without.")] = None,
    kind: Annotated[Of | None, typer.Option(help="Only notes of this kind.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page (HTML) here.")] = None,
    steer: Annotated[str, typer.Option(help="Tell the proposers what to look for.")] = "",
    add: Annotated[tuple[str, str], typer.Option(metavar="KIND TEXT", help="Add a note.", show_default=False)] = ("", ""),
    pin: Annotated[int, typer.Option(metavar="ID", help="Recall this note always.", show_default=False)] = 0,
    unpin: Annotated[int, typer.Option(metavar="ID", help="Recall it when it is relevant.", show_default=False)] = 0,
    veto: Annotated[int, typer.Option(metavar="ID", help="Recall this note never.", show_default=False)] = 0,
    unveto: Annotated[int, typer.Option(metavar="ID", help="Take the veto back.", show_default=False)] = 0,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Hypotheses with the verdicts of measurement, what did not work, what changed nothing, what is open.

    A person may add a note, pin, veto, and steer; the next round reads it.
    """
    archive = open_archive(db, create=False)
    campaign = recorded(archive, name).name
    if steer:
        _add(archive, campaign, "steer", steer)
    if add != ("", ""):
        _add(archive, campaign, *add)
    for id, pinned, vetoed in ((pin, True, False), (unpin, False, None), (veto, False, True), (unveto, None, False)):
        if id:
            _mark(archive, campaign, id, pinned, vetoed)
    book = notebook.read(archive, campaign, None if kind is None else kind.value)
    if html is not None:
        _write(html, notebook.page(book))
    if json:
        print(to_json({"campaign": campaign, "notes": notebook.records(book)}))
    else:
        print(f"page: {html}" if html is not None else notebook.text(book))


def _add(archive: Archive, campaign: str, kind: str, text: str) -> None:
    """Raises CampaignError for a kind that there is none of, and a text that is empty or too long."""
    line = " ".join(text.split())
    if not line or len(line) > MOST_TEXT:
        raise CampaignError(f"a note of {len(line):,} characters", hint=f"Say it in 1 to {MOST_TEXT:,} characters.")
    archive.add_note(campaign, checked(kind), line, data={"by": "person"})


def _mark(archive: Archive, campaign: str, id: int, pinned: bool | None, vetoed: bool | None) -> None:
    """None: as it was. Raises CampaignError for a note that is not the campaign's."""
    if id not in (note.id for note in archive.notes(campaign)):
        raise CampaignError(f"campaign {campaign} has no note {id}", hint=f"`vortex notebook {campaign}` shows their numbers.")
    archive.change_note(id, pinned=pinned, vetoed=vetoed)


def _write(path: Path, page: str) -> None:
    """Raises CampaignError where nothing can be written."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CampaignError(f"cannot write {path}: {error.strerror}", hint="Give --html a file in a folder that is there.") \
            from error
