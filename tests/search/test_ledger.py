"""Notes and the ledger of calls, as the archive keeps them."""
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.candidate import Draft, flow_record
from search.store import Archive, Spent, open_archive
from search.store.notes import KINDS
from search.store.process import alive, me
from vortex.config import OperatingPoint
from vortex.errors import ArchiveError, CampaignError

DRAFT = Draft(campaign="one", round=0, slot=0, name="flow", flow=flow_record("flow", "# text", None),
              point=OperatingPoint(), author="reflective")
TEXT = st.text(st.characters(exclude_categories=()))                 # halves of surrogate pairs too: models write them
JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.floats(allow_nan=False) | TEXT,
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("one", "", {}, 0)
    opened.create_campaign("two", "", {}, 0)
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_note_is_added_once_changed_and_found_by_its_campaign(archive: Archive, kind: str) -> None:
    about = archive.add_candidate(DRAFT)
    note = archive.add_note("one", kind, "Envelopes win.", data={"score": 0.1}, candidate=about.id)  # type: ignore[arg-type]
    again = archive.add_note("one", kind, "Envelopes win.", data={"score": 0.2}, candidate=about.id)  # type: ignore[arg-type]
    other = archive.add_note("one", kind, "Envelopes win.")  # type: ignore[arg-type]
    assert again == note and other.id != note.id
    assert (note.kind, note.data, note.pinned, note.vetoed, note.candidate) == (kind, {"score": 0.1}, False, False, about.id)
    changed = archive.change_note(note.id, pinned=True, data={"verdict": "held"})
    assert changed == replace(note, pinned=True, data={"verdict": "held"})
    assert archive.change_note(note.id, pinned=False, vetoed=True) == replace(changed, pinned=False, vetoed=True)
    assert [one.id for one in archive.notes("one")] == [note.id, other.id] and archive.notes("two") == ()


def test_notes_that_cannot_be_are_refused(archive: Archive) -> None:
    with pytest.raises(CampaignError, match="there is no note of kind 'rumour'"):
        archive.add_note("one", "rumour", "x")  # type: ignore[arg-type]
    with pytest.raises(CampaignError, match="there is no campaign three"):
        archive.add_note("three", "steer", "x")
    with pytest.raises(CampaignError, match="there is no note 7 here"):
        archive.change_note(7, pinned=True)
    with pytest.raises(CampaignError, match="there is no campaign three"):
        archive.ledger("three")
    assert archive.notes("one") == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ask=st.dictionaries(TEXT, JSON, max_size=5), answer=st.dictionaries(TEXT, JSON, max_size=5))
def test_what_was_said_comes_back_as_it_was(archive: Archive, ask: dict[str, object], answer: dict[str, object]) -> None:
    ledger = archive.ledger("one")
    key = str(len(ledger.calls()))
    ledger.reserve(key, "p", "m", ask, 0.1)
    ledger.answered(key, answer, {"input": 1}, 0.1, 1.0)
    found = ledger.find(key)
    assert found is not None and (found.ask, found.answer) == (ask, answer)
    assert list(found.ask) == list(ask)


def test_money_stays_with_its_campaign_and_its_proposer(archive: Archive) -> None:
    one, two = archive.ledger("one"), archive.ledger("two")
    one.reserve("k", "a", "m", {}, 0.3, tokens=9)
    assert (two.spent(), one.spent("b"), two.find("k")) == (Spent(), Spent(), None)
    assert one.spent("a") == one.spent() == Spent(in_flight=1, in_flight_nanos=300_000_000, in_flight_tokens=9)
    two.reserve("k", "a", "m", {}, 0.1)                              # a key is unique within its campaign
    one.answered("k", {}, {"input": 1, "output": 2, "cache_read": 3, "cache_write": 4}, 0.1, 2.5)
    assert one.spent() == Spent(nanos=100_000_000, tokens=10, calls=1, seconds=2.5)
    assert one.spent().dollars == 0.1 and one.proposers() == ("a",)
    with pytest.raises(CampaignError, match="the campaign made no call 2"):
        one.call(2)


def test_a_hundred_dimes_are_ten_dollars(archive: Archive) -> None:
    ledger = archive.ledger("one")
    for number in range(100):
        ledger.reserve(str(number), "a", "m", {}, 0.1)
        ledger.answered(str(number), {}, {}, 0.1, 0.0)
    assert ledger.spent().dollars == 10.0


def test_a_message_that_no_database_takes_is_kept_all_the_same(archive: Archive) -> None:
    ledger = archive.ledger("one")
    ledger.reserve("k", "a", "m", {}, 0.1)
    ledger.failed("k", "Unavailable", "half \ud800 and \0 zero")
    found = ledger.find("k")
    assert found is not None and found.message == "half \\ud800 and  zero"


def test_a_call_is_answered_once_and_only_while_it_is_made(archive: Archive) -> None:
    ledger = archive.ledger("one")
    for write in (lambda: ledger.answered("k", {}, {}, 0.0, 0.0), lambda: ledger.failed("k", "Unavailable", ""),
                  lambda: ledger.lost("k")):
        with pytest.raises(ArchiveError, match="call 'k' is not being made"):
            write()
    ledger.reserve("k", "a", "m", {}, 0.1)
    with pytest.raises(CampaignError, match="is being asked by"):
        ledger.reserve("k", "a", "m", {}, 0.1)
    ledger.answered("k", {"text": "first"}, {}, 0.1, 0.0)
    with pytest.raises(CampaignError, match="was answered already"):
        ledger.reserve("k", "a", "m", {}, 0.1)
    assert len(ledger.calls()) == 1


def test_what_allow_raises_leaves_nothing_behind(archive: Archive) -> None:
    ledger = archive.ledger("one")

    def never(everything: Spent, own: Spent) -> None:
        raise CampaignError("not now")

    with pytest.raises(CampaignError, match="not now"):
        ledger.reserve("k", "a", "m", {"messages": ["x"]}, 0.1, allow=never)
    assert ledger.calls() == () and ledger.find("k") is None
    with closing(sqlite3.connect(str(archive.database.place))) as connection:
        assert connection.execute("SELECT count(*) FROM texts").fetchall() == [(0,)]


@pytest.mark.parametrize(("process", "since", "lives"), [
    (me(), 0.0, True), (f"{socket.gethostname()}/{2**22 + 1}@1", 0.0, False),
    (me().rpartition("@")[0] + "@1", 0.0, False), ("far/1@1", 0.0, False), ("far/1@1", 1e12, True),
], ids=["this one", "one that is gone", "its number again", "another machine's, long ago", "another machine's"])
def test_a_process_is_known_again(process: str, since: float, lives: bool) -> None:
    assert alive(process, since) is lives
