"""The archive in a database: open it here."""
from search.store.archive import Archive, open_archive
from search.store.book import CandidateBook
from search.store.convert import CampaignRecord, Event, State
from search.store.lease import Lease

__all__ = ["Archive", "CampaignRecord", "CandidateBook", "Event", "Lease", "State", "open_archive"]
