"""Reaching the database: its place, an engine with our settings, and its refusals in our words."""
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from vortex.errors import ArchiveError

BUSY_S = 30.0                         # how long a write waits for another process's write
WRITES = "vortex_writes"              # execution option of connections that write
HEADER = b"SQLite format 3\x00"
HINTS = (
    ("full", "Free some space, or give --db a file on another disk. What was finished before is kept."),
    ("disk i/o", "The disk refused to write. What was finished before is kept."),
    ("readonly", "Make the file and its folder writable, or give --db another file."),
    ("read-only", "Make the file and its folder writable, or give --db another file."),
    ("locked", f"Another process has been writing for more than {BUSY_S:.0f} s. Wait for it, or end it."),
    ("malformed", "The file is damaged. Restore a copy (NAME.db.bak-*), or give --db another file."),
    ("not a database", "Give --db another file."),
    ("unable to open", "Check that the folder exists and may be written to."),
    ("connect", "Check that the server runs and that the URL names an existing database and user."),
)


@dataclass(frozen=True)
class Place:
    """Where the archive is. `path` is None when it is a server."""

    url: URL
    path: Path | None

    def __str__(self) -> str:
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)


def place_of(where: str | Path) -> Place:
    """Takes a file, or the URL of an SQLite file or a PostgreSQL database. Raises ArchiveError."""
    if isinstance(where, Path) or "://" not in where:
        return Place(URL.create("sqlite", database=str(where)), Path(where))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise ArchiveError(f"{where} is not a database URL", hint="For example postgresql://me@host/vortex.") from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return Place(url, Path(str(url.database)))
    if backend == "postgresql":
        return Place(url, None)
    raise ArchiveError(f"the archive cannot be kept in {where}",
                       hint="Give --db a file, or the URL of an SQLite file or a PostgreSQL database.")


def check_file(path: Path, create: bool) -> None:
    """Refuses what cannot be an archive before anything is opened or written. Raises ArchiveError."""
    if path.is_dir():
        raise ArchiveError(f"{path} is a folder", hint="Give --db a file, such as results.db.")
    if not path.exists():
        if not create:
            raise ArchiveError(f"there is no database {path}", hint="`vortex run` makes one; --db names another file.")
        if not path.parent.is_dir():
            raise ArchiveError(f"there is no folder {path.parent}", hint="Make it first, or give --db another file.")
        _check_writable(path.parent, path)
        return
    if not path.is_file():
        raise ArchiveError(f"{path} is not a database", hint="Give --db a file, such as results.db.")
    # A file that says it is read-only is left alone even when the system would let us write to it.
    _check_writable(path, path)
    _check_writable(path.parent, path)
    try:
        with path.open("rb") as file:
            header = file.read(len(HEADER))
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}", hint="Give --db another file.") from error
    if header not in (b"", HEADER):
        raise ArchiveError(f"{path} is not a database", hint="Give --db another file; this one is left as it is.")


def _check_writable(target: Path, path: Path) -> None:
    if not os.access(target, os.R_OK | os.W_OK) or not target.stat().st_mode & 0o222:
        raise ArchiveError(f"{path} cannot be written: {target} is read-only",
                           hint="Make the file and its folder writable, or give --db another file.")


def make_engine(place: Place) -> Engine:
    """Raises ArchiveError when the driver is not installed."""
    try:
        if place.path is None:
            return create_engine(place.url, pool_pre_ping=True)
        engine = create_engine(place.url, connect_args={"timeout": BUSY_S})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ArchiveError(f"no driver for {place}: {error}", hint="pip install 'psycopg[binary]'") from error
    event.listen(engine, "connect", _settings)
    event.listen(engine, "begin", _begin)
    return engine


def _settings(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None         # transactions are begun by _begin, not by the driver
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    # A write that first reads must hold the lock from its start: upgrading a read lock may fail at once.
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def plain_refusals(place: Place) -> Iterator[None]:
    """Turns what a database says when it cannot go on into ArchiveError; broken constraints are our bugs and stay."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        said = str(error.orig).strip()
        hint = next((hint for word, hint in HINTS if word in said.lower()), "Give --db another file or URL.")
        raise ArchiveError(f"{place}: {said}", hint=hint) from error
