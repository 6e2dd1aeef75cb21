"""The archive in a database: open it here."""
from search.store.archive import Archive, open_archive
from search.store.book import CandidateBook
from search.store.calls import CallRecord, Spent
from search.store.convert import CampaignRecord, Event, State
from search.store.lease import Lease
from search.store.ledger import Ledger
from search.store.notes import Note, NoteKind

__all__ = ["Archive", "CallRecord", "CampaignRecord", "CandidateBook", "Event", "Lease", "Ledger", "Note", "NoteKind", "Spent",
           "State", "open_archive"]
