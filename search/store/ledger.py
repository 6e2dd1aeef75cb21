"""The ledger of a campaign: every call of a language model, recorded before it is made and before its answer is used."""
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from search.store import said
from search.store.calls import CallRecord, Spent, call_of, nanos
from search.store.database import Database
from search.store.process import alive, me
from search.store.tables import CallRow, CampaignRow
from vortex.errors import ArchiveError, CampaignError

Allow: TypeAlias = Callable[[Spent, Spent], None]     # told what the campaign and the proposer spent; raises to refuse
KINDS = ("input", "output", "cache_read", "cache_write")


@dataclass(frozen=True)
class SpentIn:
    """Sums over the calls of one state; `held` is what they reserved."""

    count: int = 0
    nanos: int = 0
    tokens: int = 0
    seconds: float = 0.0
    held: int = 0
    held_tokens: int = 0


@dataclass(frozen=True)
class Ledger:
    """Each method is one transaction; what it wrote is kept when it returns. All raise ArchiveError as Archive does."""

    database: Database
    campaign_id: int

    def find(self, key: str) -> CallRecord | None:
        """The latest attempt of this key."""
        with self.database.read() as session:
            row = self._latest(session, key)
            return None if row is None else _records(session, [row])[0]

    def calls(self, key: str | None = None) -> tuple[CallRecord, ...]:
        """All attempts in the order in which they were begun; those of one key."""
        query = self._mine().order_by(CallRow.id)
        with self.database.read() as session:
            return _records(session, session.scalars(query if key is None else query.filter_by(key=key)).all())

    def answers(self, proposer: str, under: str = "") -> tuple[CallRecord, ...]:
        """Those attempts of a proposer that were answered, oldest first; only keys that begin with `under`."""
        query = self._mine().filter_by(proposer=proposer, state="answered").order_by(CallRow.id)
        query = query.where(CallRow.key.startswith(under, autoescape=True))
        with self.database.read() as session:
            return _records(session, session.scalars(query).all())

    def call(self, id: int) -> CallRecord:
        """Raises CampaignError when the campaign made no such call."""
        with self.database.read() as session:
            return _records(session, [self._row(session, id)])[0]

    def spent(self, proposer: str | None = None) -> Spent:
        """Of the whole campaign, or of one proposer."""
        with self.database.read() as session:
            return self._spent(session, proposer)

    def proposers(self) -> tuple[str, ...]:
        """Those that made a call, by name."""
        with self.database.read() as session:
            query = select(CallRow.proposer).where(CallRow.campaign_id == self.campaign_id).distinct().order_by(CallRow.proposer)
            return tuple(session.scalars(query))

    def reserve(self, key: str, proposer: str, model: str, ask: Mapping[str, Any], dollars: float, *, tokens: int = 0,
                price: Mapping[str, Any] | None = None, allow: Allow | None = None) -> CallRecord:
        """Enters a call that is about to be made, with the most that it may cost.

        What `allow` raises refuses it, and nothing is entered; no other process can spend in between. An earlier attempt
        that failed or was lost stays, and this is the next one. Raises CampaignError for a key that is answered, or is
        being asked by a living process.
        """
        with self.database.write() as session:
            session.scalars(select(CampaignRow.id).filter_by(id=self.campaign_id).with_for_update()).one()
            self._lose_the_dead(session)
            last = self._latest(session, key)
            if last is not None and last.state in ("answered", "reserved"):
                said_of_it = "was answered already" if last.state == "answered" else f"is being asked by {last.process}"
                raise CampaignError(f"call {key!r} {said_of_it}", hint="A call has one key of its own.")
            if allow is not None:
                allow(self._spent(session, None), self._spent(session, proposer))
            row = CallRow(campaign_id=self.campaign_id, key=key, attempt=1 if last is None else last.attempt + 1,
                          proposer=proposer, model=model, state="reserved", process=me(), reserved_nanos=nanos(dollars),
                          reserved_tokens=tokens, created_at=time.time(), price=dict(price or {}),
                          ask=said.keep_parts(session, ask))
            session.add(row)
            session.flush()
            return _records(session, [row])[0]

    def answered(self, key: str, answer: Mapping[str, Any], tokens: Mapping[str, int], dollars: float,
                 seconds: float) -> CallRecord:
        """Keeps the answer of a reserved call. `tokens`: input, output, cache_read, cache_write, as the provider counts."""
        with self.database.write() as session:
            row = self._reserved(session, key)
            row.state, row.answer, row.nanos, row.seconds = "answered", said.keep(session, answer), nanos(dollars), seconds
            for kind in KINDS:
                setattr(row, kind, tokens.get(kind, 0))
            session.flush()
            return _records(session, [row])[0]

    def failed(self, key: str, code: str, message: str, seconds: float = 0.0) -> None:
        """The provider answered nothing, and nothing was paid. The key may be asked again."""
        with self.database.write() as session:
            row = self._reserved(session, key)
            row.state, row.code, row.message, row.seconds = "failed", code, _storable(message), seconds

    def lost(self, key: str, code: str = "", message: str = "") -> None:
        """Nobody knows whether the call was paid: its money stays counted, and the key may be asked again."""
        with self.database.write() as session:
            row = self._reserved(session, key)
            row.state, row.code, row.message = "lost", code, _storable(message)

    def settle(self, id: int, dollars: float) -> CallRecord:
        """A person says what a lost call did cost. Raises CampaignError for a call that is not lost."""
        with self.database.write() as session:
            self._lose_the_dead(session)
            row = self._row(session, id)
            if row.state != "lost":
                raise CampaignError(f"call {id} is not lost: it is {row.state}", hint="Only a lost call is to be settled.")
            row.state, row.nanos, row.code = "failed", nanos(dollars), row.code or "settled"
            session.flush()
            return _records(session, [row])[0]

    def _mine(self) -> "Select[CallRow]":
        return select(CallRow).filter_by(campaign_id=self.campaign_id)

    def _latest(self, session: Session, key: str) -> CallRow | None:
        return session.scalars(self._mine().filter_by(key=key).order_by(CallRow.attempt.desc()).limit(1)).first()

    def _reserved(self, session: Session, key: str) -> CallRow:
        row = self._latest(session, key)
        if row is None or row.state != "reserved":
            raise ArchiveError(f"call {key!r} is not being made", hint="Reserve it first.")
        return row

    def _row(self, session: Session, id: int) -> CallRow:
        row = session.scalar(self._mine().filter_by(id=id))
        if row is None:
            raise CampaignError(f"the campaign made no call {id}", hint="`vortex calls CAMPAIGN` lists those it made.")
        return row

    def _lose_the_dead(self, session: Session) -> None:
        """What a process that ended left reserved is lost."""
        for row in session.scalars(self._mine().filter_by(state="reserved")):
            if not alive(row.process, row.created_at):
                row.state, row.code, row.message = "lost", "ended", f"the process that asked, {row.process}, ended"
        session.flush()

    def _spent(self, session: Session, proposer: str | None) -> Spent:
        tokens = CallRow.input + CallRow.output + CallRow.cache_read + CallRow.cache_write
        query = (select(CallRow.state, func.count(CallRow.id), func.sum(CallRow.nanos), func.sum(tokens),
                        func.sum(CallRow.seconds), func.sum(CallRow.reserved_nanos), func.sum(CallRow.reserved_tokens))
                 .where(CallRow.campaign_id == self.campaign_id).group_by(CallRow.state))
        found = session.execute(query if proposer is None else query.where(CallRow.proposer == proposer)).all()
        sums = {state: SpentIn(count, int(money), int(used), seconds, int(held), int(held_tokens))
                for state, count, money, used, seconds, held, held_tokens in found}
        answered, failed, lost, made = (sums.get(state, SpentIn()) for state in ("answered", "failed", "lost", "reserved"))
        return Spent(nanos=answered.nanos + failed.nanos, tokens=answered.tokens, calls=answered.count, failed=failed.count,
                     seconds=answered.seconds + failed.seconds, in_flight=made.count, in_flight_nanos=made.held,
                     in_flight_tokens=made.held_tokens, lost=lost.count, lost_nanos=lost.held, lost_tokens=lost.held_tokens)


def _storable(text: str) -> str:
    """The text without what no database takes: halves of surrogate pairs, and zeros."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "")


def _records(session: Session, rows: Sequence[CallRow]) -> tuple[CallRecord, ...]:
    """The rows with all that was said in them."""
    wanted = [key for row in rows for key in (*said.digests(row.ask), *([row.answer] if row.answer else []))]
    texts = said.read(session, wanted)
    return tuple(call_of(row, said.whole(row.ask, texts), texts[row.answer] if row.answer else None) for row in rows)
