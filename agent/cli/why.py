"""`vortex why CANDIDATE`: why it is, or is not, on the frontier."""
from agent.cli.candidates import candidate_of
from agent.cli.options import DEFAULT_DB, CandidateId, Db, Json
from agent.cli.text import to_json
from search.frontier import frontier
from search.store.archive import open_archive
from search.why import why


def command(candidate: CandidateId, db: Db = DEFAULT_DB, json: Json = False) -> None:
    """One or two sentences with the figures they rest on."""
    archive = open_archive(db, create=False)
    one = candidate_of(archive, candidate)
    entries = archive.entries(one.campaign, exams=True)
    reason = why(frontier(entries), next(entry for entry in entries if entry.candidate.id == one.id))
    print(to_json({"id": one.id, "why": reason}) if json else reason)
