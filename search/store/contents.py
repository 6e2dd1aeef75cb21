"""The numbers of parameters: each content is kept once, by its digest, whichever flows ask for it."""
from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from search.store.tables import ContentRow, FlowContentRow


def keep(session: Session, flow_id: int, contents: Mapping[str, bytes]) -> None:
    """Writes what is not there yet, and which of it the flow asks for."""
    for digest, data in sorted(contents.items()):
        session.add(FlowContentRow(flow_id=flow_id, content_id=content_id(session, digest, data)))
    session.flush()


def content_id(session: Session, digest: str, data: bytes) -> int:
    """The row of it, written where there is none."""
    found = session.scalar(select(ContentRow.id).filter_by(digest=digest))
    if found is None:
        row = ContentRow(digest=digest, data=data)
        session.add(row)
        session.flush()
        found = row.id
    return found


def by_digest(session: Session, digests: Collection[str]) -> Mapping[str, bytes]:
    """Those that are kept."""
    rows = session.execute(select(ContentRow.digest, ContentRow.data).where(ContentRow.digest.in_(digests)))
    return dict(rows.tuples().all())


def contents_of(session: Session, flows: "Select[int]", known: dict[str, bytes]) -> Mapping[int, Mapping[str, bytes]]:
    """By id of a flow what it asks for, by digest. `known` is what was read before, and is added to."""
    links = select(FlowContentRow.flow_id, ContentRow.digest).join(ContentRow, ContentRow.id == FlowContentRow.content_id)
    found: dict[int, dict[str, bytes]] = defaultdict(dict)
    for flow, digest in session.execute(links.where(FlowContentRow.flow_id.in_(flows))).all():
        if digest not in known:
            known[digest] = session.execute(select(ContentRow.data).filter_by(digest=digest)).scalar_one()
        found[flow][digest] = known[digest]
    return found
