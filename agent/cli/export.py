"""`vortex export CANDIDATE --to DIR`: a folder with everything that is known of a candidate."""
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.candidates import candidate_of, lineage
from agent.cli.options import DEFAULT_DB, CandidateId, Db
from agent.opening import recorded
from agent.single import entry
from search.export import MANIFEST, UPSTREAM, Provenance, write_bundle
from search.manifest import read_manifest
from search.store.archive import open_archive


def command(
    candidate: CandidateId,
    to: Annotated[Path, typer.Option(help="The folder; made, or empty.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier bundle.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Write flow, Graph, operating point, report and manifest into a folder that `vortex verify` can rerun."""
    archive = open_archive(db, create=False)
    one = candidate_of(archive, candidate)
    record = recorded(archive, one.campaign)
    dense = next((c for c in archive.candidates(one.campaign) if c.is_dense), None)
    provenance = Provenance(seed=record.seed, settings=record.settings, environments=archive.environments(one),
                            lineage=lineage(archive, one), dense=None if dense is None else entry(archive, dense.id))
    write_bundle(entry(archive, one.id), provenance, to, force)
    print(f"{to}/  " + "  ".join(sorted(path.name for path in to.iterdir())))
    reason = read_manifest((to / MANIFEST).read_text()).no_upstream
    if reason:
        print(f"no {UPSTREAM}: {reason}")
