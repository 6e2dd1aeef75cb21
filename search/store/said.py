"""What was said in calls: each part of a prompt is kept once, for the next turn says most of it again."""
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.store.convert import digest
from search.store.tables import TextRow

CHUNK = 500                           # digests asked for at once


def keep(session: Session, value: Any) -> str:
    """Writes a value of JSON unless it is there. Gives its digest."""
    text = json.dumps(value)              # in ASCII: a model may write half a surrogate pair, which no database takes
    key = digest(text)
    if session.scalar(select(TextRow.id).filter_by(digest=key)) is None:
        session.add(TextRow(digest=key, text=text))
        session.flush()
    return key


def keep_parts(session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the members of its lists kept apart, and their digests in their place."""
    return {name: [keep(session, part) for part in value] if isinstance(value, list | tuple) else value
            for name, value in body.items()}


def digests(kept: Mapping[str, Any]) -> Iterator[str]:
    """Those that `keep_parts` left."""
    for value in kept.values():
        if isinstance(value, list):
            yield from value


def whole(kept: Mapping[str, Any], texts: Mapping[str, Any]) -> dict[str, Any]:
    """What `keep_parts` was given."""
    return {name: [texts[key] for key in value] if isinstance(value, list) else value for name, value in kept.items()}


def read(session: Session, wanted: Iterable[str]) -> dict[str, Any]:
    """Values by digest; each is parsed once."""
    keys, found = sorted(set(wanted)), {}
    for at in range(0, len(keys), CHUNK):
        query = select(TextRow.digest, TextRow.text).where(TextRow.digest.in_(keys[at:at + CHUNK]))
        found.update({key: json.loads(text) for key, text in session.execute(query).all()})
    return found
