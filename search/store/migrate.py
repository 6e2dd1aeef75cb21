"""Bringing a database to the tables of this version: made, or copied and migrated, or refused."""
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from search.store.connect import WRITES, Place, plain_refusals
from vortex.errors import ArchiveError

VERSION_TABLE = "vortex_version"
MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(engine: Engine, place: Place) -> None:
    """One transaction: after it the tables are those of this version, or nothing was touched. Raises ArchiveError."""
    known = [step.revision for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    head = known[0]
    with plain_refusals(place):
        with engine.connect() as connection:
            found = revision(connection)
        if found != head:
            with engine.execution_options(**{WRITES: True}).begin() as connection:
                _migrate(connection, place, known)
        if place.path is not None:
            _use_write_ahead_log(engine)


def _migrate(connection: Connection, place: Place, known: list[str]) -> None:
    # Read again under the lock: another process may have migrated it meanwhile.
    found = revision(connection)
    _refuse_what_is_not_ours(connection, place, found, known)
    if found == known[0]:
        return
    if found is not None and place.path is not None:
        copy_aside(place.path, found)
    upgrade(connection)


def _use_write_ahead_log(engine: Engine) -> None:
    # Only outside of a transaction, and only once the database is known to be ours: the mode stays in the file.
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def revision(connection: Connection) -> str | None:
    """The revision a database says it has; None when it does not speak of one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def upgrade(connection: Connection, to: str = "head") -> None:
    """Runs the revisions that lack, in the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def copy_aside(path: Path, found: str) -> Path:
    """A whole copy beside the file, what still stands in its log included; an earlier copy is never overwritten."""
    target = path.with_name(f"{path.name}.bak-{found}")
    count = 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.bak-{found}-{count}")
    half = target.with_name(target.name + ".half")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(half)) as copy:
            source.backup(copy)
        half.rename(target)
    except (sqlite3.Error, OSError) as error:
        half.unlink(missing_ok=True)
        raise ArchiveError(f"{path} is of an older version and could not be copied to {target.name}: {error}",
                           hint="It was not migrated. Make room beside it, or open a copy elsewhere.") from error
    return target


def _refuse_what_is_not_ours(connection: Connection, place: Place, found: str | None, known: list[str]) -> None:
    tables = inspect(connection).get_table_names()
    if found is None and tables:
        some = ", ".join(sorted(tables)[:3])
        raise ArchiveError(f"{place} belongs to another program: its tables are {some}",
                           hint="Give --db another file or an empty database; this one is left as it is.")
    if found is not None and found not in known:
        raise ArchiveError(f"{place} is of a newer version: revision {found}, and this one knows up to {max(known)}",
                           hint="Update vortex-platform, or give --db another file; this one is left as it is.")
