"""One process runs a campaign at a time: it holds the campaign's row and says so every few seconds."""
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Update, select, update

from search.store.database import Database
from search.store.process import runs, started
from search.store.tables import CampaignRow
from vortex.errors import ArchiveError, CampaignError

BEAT_S = 20.0
LOST_S = 120.0                        # a holder on another machine is taken for dead after this long without a beat


@dataclass(frozen=True)
class Lease:
    """Held from `hold` until its block ends; `check` says whether it still is."""

    database: Database
    campaign: str
    holder: str
    ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises CampaignError when another process took the campaign over (this one was silent for too long)."""
        with self.database.read() as session:
            if session.scalar(select(CampaignRow.holder).filter_by(name=self.campaign)) != self.holder:
                raise CampaignError(f"campaign {self.campaign} was taken over by another process",
                                    hint="Let the other one run, or end it and resume here.")

    def beat(self) -> None:
        with self.database.write() as session:
            session.execute(self._own().values(heartbeat_at=time.time()))

    def beat_until_ended(self) -> None:
        while not self.ended.wait(BEAT_S):
            try:
                self.beat()
            except ArchiveError:
                # The loop's own writes meet the same refusal and report it; a missed beat alone ends nothing.
                continue

    def release(self) -> None:
        with self.database.write() as session:
            session.execute(self._own().values(holder="", holder_host="", holder_pid=0, heartbeat_at=0.0))

    def _own(self) -> Update:
        return update(CampaignRow).where(CampaignRow.name == self.campaign, CampaignRow.holder == self.holder)


@contextmanager
def hold(database: Database, campaign: str) -> Iterator[Lease]:
    """Raises CampaignError naming the holder when a living process runs the campaign."""
    lease = Lease(database, campaign, f"{uuid.uuid4().hex}@{started(os.getpid())}")
    with database.write() as session:
        row = session.scalars(select(CampaignRow).filter_by(name=campaign).with_for_update()).one()
        if row.holder and _alive(row):
            raise CampaignError(f"campaign {campaign} is being run by process {row.holder_pid} on {row.holder_host}",
                                hint="Wait for it, end it, or run under another name (--set campaign.name=...).")
        row.holder, row.holder_host, row.holder_pid = lease.holder, socket.gethostname(), os.getpid()
        row.heartbeat_at = time.time()
    beats = threading.Thread(target=lease.beat_until_ended, daemon=True, name=f"lease {campaign}")
    beats.start()
    try:
        yield lease
    finally:
        lease.ended.set()
        beats.join()
        lease.release()


def _alive(row: CampaignRow) -> bool:
    if row.holder_host != socket.gethostname():
        return time.time() - row.heartbeat_at < LOST_S
    return runs(row.holder_pid) and started(row.holder_pid) == row.holder.partition("@")[2]
