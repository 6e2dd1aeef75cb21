"""`vortex show CANDIDATE`: source, report and lineage."""
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent.cli.candidates import candidate_of, lineage
from agent.cli.options import DEFAULT_DB, CandidateId, Db, Json
from agent.cli.text import columns, to_json
from agent.cli.words import stage_text
from evaluator import statistics
from evaluator.report import Estimate, Report
from search.candidate import Candidate
from search.frontier import frontier
from search.store.archive import open_archive
from search.why import why
from search.words import share_text


def command(candidate: CandidateId, db: Db = DEFAULT_DB, json: Json = False) -> None:
    """Everything about one candidate: what it is, why it was tried, what was measured, where it comes from."""
    archive = open_archive(db, create=False)
    one = candidate_of(archive, candidate)
    report, ancestors = archive.report(one), lineage(archive, one)
    entries = archive.entries(one.campaign, exams=True)
    entry = next(entry for entry in entries if entry.candidate.id == one.id)
    reason, other = why(frontier(entries), entry), statistics.other_intervals(entry.by_stage)
    if json:
        print(to_json({
            "id": one.id, "campaign": one.campaign, "name": one.name, "status": one.status, "author": one.author,
            "hypothesis": one.hypothesis, "round": one.round, "parents": one.parents, "duplicate_of": one.duplicate_of,
            "lineage": [{"id": a.id, "name": a.name} for a in ancestors], "source": one.flow.source,
            "flow_hash": one.flow.hash, "point": one.point.model_dump(mode="json"), "why": reason,
            **{name: asdict(figure) for name, figure in other.items()},
            "results": [asdict(result) for result in report.results],
        }))
        return
    print(_head(one, ancestors))
    print()
    print(_report(report, other))
    print()
    print(reason)
    print()
    print(one.flow.source.rstrip())


def _head(one: Candidate, ancestors: Sequence[Candidate]) -> str:
    point = ", ".join(f"{k} {v}" for k, v in one.point.model_dump(mode="json").items() if v not in ([], 0))
    rows = [(f"{one.id}", one.name), ("campaign", f"{one.campaign}, round {one.round}, by {one.author}"),
            ("status", str(one.status or "being judged")), ("why", one.hypothesis or "-"),
            ("point", f"{point} ({share_text(one.point.topk_ratio)} of the blocks)"), ("hash", one.flow.hash),
            ("lineage", "; ".join(f"{a.id} {a.name}" for a in ancestors) or "none")]
    return columns(rows)


def _report(report: Report, other: Mapping[str, Estimate]) -> str:
    if not report.results:
        return "Nothing was measured."
    rows = []
    for result in report.results:
        facts = ", ".join(f"{k} {told}" for k, v in result.facts.items() if (told := _fact(v)))
        cell = f"{result.status}: {result.code}" if result.code else stage_text(result)
        rows.append((result.stage, cell, result.message.partition("\n")[0] or facts))
    if other:
        rows.append(("beside", "", ", ".join(f"{name} {_fact(asdict(figure))}" for name, figure in other.items())))
    return columns(rows)


def _fact(value: Any) -> str:
    """A number, or one with its interval; nothing of what is longer."""
    if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
        return f"{value['value']:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
    if isinstance(value, int | float):
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    return ""
