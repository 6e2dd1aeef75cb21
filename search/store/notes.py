"""What a campaign remembers beside its measurements: hypotheses, lessons, questions, and what a person steers by."""
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.store.lookup import campaign_row
from search.store.tables import CampaignRow, NoteRow
from vortex.errors import CampaignError

NoteKind: TypeAlias = Literal["hypothesis", "anti-pattern", "non-lever", "question", "steer"]
KINDS: tuple[NoteKind, ...] = get_args(NoteKind)


@dataclass(frozen=True, kw_only=True)
class Note:
    """`candidate` is the number of the candidate that it speaks of; `vetoed`: kept, but told to nobody."""

    id: int
    kind: NoteKind
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False
    vetoed: bool = False
    candidate: int | None = None
    created_at: float = 0.0


def note_of(row: NoteRow) -> Note:
    return Note(id=row.id, kind=checked(row.kind), text=row.text, data=row.data, pinned=row.pinned, vetoed=row.vetoed,
                candidate=row.candidate_id, created_at=row.created_at)


def checked(kind: str) -> NoteKind:
    """Raises CampaignError for a kind that there is none of."""
    found = next((one for one in KINDS if one == kind), None)
    if found is None:
        raise CampaignError(f"there is no note of kind {kind!r}", hint=f"Kinds: {', '.join(KINDS)}.")
    return found


def notes_in(session: Session, campaign: str) -> tuple[Note, ...]:
    """Oldest first."""
    query = select(NoteRow).join(CampaignRow, CampaignRow.id == NoteRow.campaign_id).where(CampaignRow.name == campaign)
    return tuple(note_of(row) for row in session.scalars(query.order_by(NoteRow.id)))


def add(session: Session, campaign: str, note: Note) -> Note:
    """The first note of a campaign with this kind, text and candidate stays and is given back."""
    owner = campaign_row(session, campaign).id
    known = session.scalars(select(NoteRow).filter_by(campaign_id=owner, kind=checked(note.kind), text=note.text,
                                                      candidate_id=note.candidate).order_by(NoteRow.id).limit(1)).first()
    if known is None:
        known = NoteRow(campaign_id=owner, kind=note.kind, text=note.text, data=dict(note.data), pinned=note.pinned,
                        vetoed=note.vetoed, candidate_id=note.candidate, created_at=time.time())
        session.add(known)
        session.flush()
    return note_of(known)


def change(session: Session, id: int, values: Mapping[str, Any]) -> Note:
    """Raises CampaignError when there is no such note."""
    row = session.get(NoteRow, id)
    if row is None:
        raise CampaignError(f"there is no note {id} here", hint="`vortex notebook` lists those of a campaign.")
    for name, value in values.items():
        if value is not None:
            setattr(row, name, value)
    session.flush()
    return note_of(row)
