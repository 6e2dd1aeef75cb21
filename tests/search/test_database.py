"""Opening, migrating and refusing databases; and what a kill, a full disk or a second process does to one."""
import hashlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect

from evaluator.report import Row
from search.candidate import Draft, flow_record
from search.store import Archive, connect, open_archive
from search.store.migrate import MIGRATIONS, upgrade
from search.store.tables import Base
from vortex.config import OperatingPoint
from vortex.errors import ArchiveError, CampaignError

ROOT = Path(__file__).parents[2]
HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()
OLD = (Path(__file__).parent / "version_0001.sql").read_text()
DRAFT = Draft(campaign="one", round=0, slot=0, name="flow", flow=flow_record("flow", "# text", None),
              point=OperatingPoint(), author="evolve")


def run_sql(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def foreign(path: Path) -> None:
    run_sql(path, "CREATE TABLE songs (id INTEGER); CREATE TABLE alembic_version (version_num TEXT)")


def newer(path: Path) -> None:
    open_archive(path).close()
    run_sql(path, "UPDATE vortex_version SET version_num = '9999'; PRAGMA wal_checkpoint(TRUNCATE)")


def readonly(path: Path) -> None:
    open_archive(path).close()
    path.chmod(0o444)


def damaged(path: Path) -> None:
    open_archive(path).close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 40960)


@pytest.mark.parametrize(("make", "match"), [
    (Path.mkdir, "is a folder"),
    (foreign, "belongs to another program: its tables are alembic_version, songs"),
    (newer, "of a newer version: revision 9999"),
    (readonly, "is read-only"),
    (damaged, "malformed"),
    (lambda path: path.write_text("# a campaign file, given for a database"), "is not a database"),
    (lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\x01" * 200), "not a database"),
    (os.mkfifo, "is not a database"),
], ids=["folder", "foreign", "newer", "readonly", "damaged", "text", "header", "pipe"])
def test_what_cannot_be_an_archive_is_refused_and_left_as_it_is(tmp_path: Path, make: Callable[[Path], object],
                                                                match: str) -> None:
    path = tmp_path / "results.db"
    make(path)
    before = content(tmp_path) if path.is_file() else {}
    with pytest.raises(ArchiveError, match=match) as refusal:
        open_archive(path)
    assert refusal.value.hint
    assert not before or content(tmp_path) == before


@pytest.mark.parametrize(("where", "match"), [
    ("mysql://host/x", "cannot be kept in mysql"), ("sqlite://", "cannot be kept in"), ("sqlite:///:memory:", "kept in"),
    ("://", "is not a database URL"), ("nowhere/results.db", "there is no folder nowhere"),
    ("postgresql+nodriver://host/x", "no driver for"),
])
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str,
                                           match: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchiveError, match=match):
        open_archive(where)
    assert not list(tmp_path.iterdir())


def test_a_database_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no database"):
        open_archive(tmp_path / "results.db", create=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["results.db", "100% mine.db", "größer?.db"])
def test_a_new_database_has_the_tables_of_this_version(tmp_path: Path, name: str) -> None:
    archive = open_archive(tmp_path / name)
    tables = inspect(archive.database.engine)
    for table in Base.metadata.sorted_tables:
        found = {column["name"]: column["nullable"] for column in tables.get_columns(table.name)}
        assert found == {column.name: column.nullable for column in table.columns}, table.name
    assert ask(tmp_path / name, "PRAGMA journal_mode") == [("wal",)]
    assert ask(tmp_path / name, "SELECT version_num FROM vortex_version") == [(HEAD,)]


def test_an_empty_file_and_a_url_of_a_file_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.touch()
    open_archive(f"sqlite:///{path}").create_campaign("one", "", {}, 0)
    assert open_archive(path).campaign("one") is not None


def test_a_database_of_version_1_is_copied_then_migrated_with_all_that_it_held(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    run_sql(path, OLD)
    archive = open_archive(path)
    entry, = archive.entries("old")
    assert [row.score for row in entry.rows] == [0.1, 1.0]
    assert entry.report.results[0].metrics["retrieval"].high == 0.6
    assert archive.environments(entry.candidate) == ({"cpu": "x"},)
    with archive.hold("old") as lease:
        lease.check()
    copy = tmp_path / "results.db.bak-0001"
    assert ask(copy, "SELECT version_num FROM vortex_version") == [("0001",)]
    assert ask(copy, "SELECT score FROM rows") == [(0.1,), (1.0,)]
    assert ask(path, "SELECT version_num FROM vortex_version") == [(HEAD,)]


def test_campaigns_of_version_4_are_given_secrets_that_differ_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    run_sql(path, OLD)
    run_sql(path, "INSERT INTO campaigns (name, text, settings, seed, state, created_at) "
                  "VALUES ('second', '', '{}', 0, 'stopped', 0.0)")
    place = connect.place_of(path)
    with connect.make_engine(place).execution_options(**{connect.WRITES: True}).begin() as connection:
        upgrade(connection, "0004")
    archive = open_archive(path)
    drawn = [archive.secret(name) for name in ("old", "second")]
    assert len(set(drawn)) == 2 and all(0 < secret < 2**63 for secret in drawn)
    assert [open_archive(path).secret(name) for name in ("old", "second")] == drawn
    assert archive.create_campaign("third", "", {}, 0).name == "third" and archive.secret("third") not in (0, *drawn)


def test_what_stood_only_in_the_log_of_a_killed_process_is_in_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    run_sql(path, OLD + "PRAGMA journal_mode = WAL;")
    writer = sqlite3.connect(path)                        # left open: closing it would empty the log into the file
    writer.execute("UPDATE rows SET score = 0.5")
    writer.commit()
    open_archive(path)
    assert ask(tmp_path / "results.db.bak-0001", "SELECT score FROM rows") == [(0.5,), (0.5,)]
    writer.close()


def test_an_earlier_copy_is_kept(tmp_path: Path) -> None:
    run_sql(tmp_path / "results.db", OLD)
    (tmp_path / "results.db.bak-0001").write_text("precious")
    open_archive(tmp_path / "results.db")
    assert (tmp_path / "results.db.bak-0001").read_text() == "precious"
    assert (tmp_path / "results.db.bak-0001-2").stat().st_size > 4096


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    run_sql(path, OLD + "ALTER TABLE campaigns ADD COLUMN holder_pid INTEGER;")
    with pytest.raises(ArchiveError, match="duplicate column"):
        open_archive(path)
    assert ask(path, "SELECT version_num FROM vortex_version") == [("0001",)]
    assert "holder" not in [row[1] for row in ask(path, "PRAGMA table_info(campaigns)")]


def test_every_revision_can_be_written_for_postgresql() -> None:
    written = StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
    with Operations.context(context):
        for step in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())):
            step.module.upgrade()
    for table in Base.metadata.sorted_tables:
        assert f"CREATE TABLE {table.name} (" in written.getvalue()


WRITER = """
import sys
from evaluator.report import Row
from search.store import open_archive
archive = open_archive(sys.argv[1])
with archive.hold("one"):
    book = archive.book(archive.candidates("one")[0])
    for number in range(10_000):
        book.add(Row(stage="chain", problem=f"{number:05}", score=number / 7, data={"text": "x" * 500}))
        print(number, flush=True)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("one", "", {}, 0)
    opened.add_candidate(DRAFT)
    return opened


def killed_writer(path: Path, after: int) -> list[int]:
    """Rows that a writing process said were kept before it was killed."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        return said + [int(line) for line in writer.stdout if line.endswith("\n")]


@pytest.mark.parametrize("after", [1, 29, 300])
def test_a_kill_loses_no_row_that_was_said_to_be_kept(tmp_path: Path, archive: Archive, after: int) -> None:
    said = killed_writer(tmp_path / "results.db", after)
    archive = open_archive(tmp_path / "results.db")
    kept = [row.problem for row in archive.rows(archive.candidates("one")[0])]
    assert said == list(range(len(said))) and len(said) >= after
    assert kept == [f"{number:05}" for number in range(len(kept))] and len(kept) >= len(said)
    assert ask(tmp_path / "results.db", "PRAGMA integrity_check") == [("ok",)]
    with archive.hold("one") as lease:                    # the dead process's lease holds nobody up
        lease.check()


def test_a_campaign_is_run_by_one_process_at_a_time(archive: Archive) -> None:
    with archive.hold("one"):
        with pytest.raises(CampaignError, match=f"is being run by process {os.getpid()} on "), archive.hold("one"):
            pass
        assert open_archive(str(archive.database.place)).campaign("one") is not None
    with archive.hold("one"):
        pass


@pytest.mark.parametrize(("beat_s_ago", "held"), [(30, True), (3600, False)])
def test_a_holder_on_another_machine_is_believed_while_it_beats(archive: Archive, beat_s_ago: float, held: bool) -> None:
    path = Path(str(archive.database.place))
    run_sql(path, f"UPDATE campaigns SET holder = 'x@1', holder_host = 'far', holder_pid = 3, "
                  f"heartbeat_at = {time.time() - beat_s_ago}")
    if held:
        with pytest.raises(CampaignError, match="by process 3 on far"), archive.hold("one"):
            pass
    else:
        with archive.hold("one") as lease:
            lease.check()


def test_a_number_of_a_process_that_was_given_again_is_not_the_holder(archive: Archive) -> None:
    run_sql(Path(str(archive.database.place)), f"UPDATE campaigns SET holder = 'x@1', holder_pid = {os.getpid()}, "
                                               f"holder_host = '{socket.gethostname()}'")
    with archive.hold("one") as lease:
        lease.check()


def test_a_lease_that_another_took_over_says_so(archive: Archive) -> None:
    with archive.hold("one") as lease:
        run_sql(Path(str(archive.database.place)), "UPDATE campaigns SET holder = 'x@1'")
        with pytest.raises(CampaignError, match="taken over"):
            lease.check()
    assert ask(Path(str(archive.database.place)), "SELECT holder FROM campaigns") == [("x@1",)]


def test_a_full_disk_is_refused_and_what_was_kept_stays_whole(archive: Archive) -> None:
    path, book = Path(str(archive.database.place)), archive.book(archive.candidates("one")[0])
    pages = int(str(ask(path, "PRAGMA page_count")[0][0])) + 20
    archive.close()
    event.listen(archive.database.engine, "connect", lambda connection, _: connection.execute(
        f"PRAGMA max_page_count = {pages}"))
    kept = 0
    with pytest.raises(ArchiveError, match="full") as refusal:
        for kept in range(1000):
            book.add(Row(stage="chain", problem=str(kept), score=0.0, data={"text": "x" * 5000}))
    assert "Free some space" in refusal.value.hint
    assert [row.problem for row in book.rows("chain")] == [str(number) for number in range(kept)] and kept > 5


def test_a_database_that_another_process_keeps_locked_is_refused(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "BUSY_S", 0.05)
    impatient = open_archive(str(archive.database.place))
    with closing(sqlite3.connect(str(archive.database.place), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArchiveError, match="locked") as refusal:
            impatient.event("one", "started", {})
    assert "another process" in refusal.value.hint.lower()
