"""Short transactions over one engine: what a write did is on disk when its block ends."""
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from search.store.connect import WRITES, Place, plain_refusals


@dataclass(frozen=True)
class Database:
    """Sessions that read and sessions that write; both raise ArchiveError when the database cannot go on."""

    engine: Engine
    place: Place
    contents: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)   # by digest, read so far
    writing: threading.RLock = field(default_factory=threading.RLock, compare=False, repr=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with plain_refusals(self.place), Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commits at the end of the block, rolls back when it raises; threads take their turns."""
        writer = self.engine.execution_options(**{WRITES: True})
        with self.writing, plain_refusals(self.place), Session(writer) as session, session.begin():
            yield session
