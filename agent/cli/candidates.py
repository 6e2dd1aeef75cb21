"""Finding a candidate by its number, and its line of descent."""
from search.candidate import Candidate
from search.store.archive import Archive
from vortex.errors import ArchiveError


def candidate_of(archive: Archive, id: int) -> Candidate:
    """Raises ArchiveError."""
    found = archive.candidate(id)
    if found is None:
        raise ArchiveError(f"there is no candidate {id} here", hint="`vortex frontier --all` lists those of a campaign.")
    return found


def lineage(archive: Archive, candidate: Candidate) -> tuple[Candidate, ...]:
    """Its ancestors, nearest first, each once."""
    found: dict[int, Candidate] = {}
    wanted = list(candidate.parents)
    while wanted:
        id = wanted.pop(0)
        parent = None if id in found else archive.candidate(id)
        if parent is not None:
            found[id] = parent
            wanted.extend(parent.parents)
    return tuple(found.values())
