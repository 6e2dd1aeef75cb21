"""Tools on what was measured: frontier, show, query and notebook. They read; the model writes no query language of ours."""
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from agent.cli.standings import rest_text, shown, table
from agent.cli.text import columns
from agent.cli.words import short, stage_text
from agent.tools.bench import Bench, ToolError
from agent.tools.box import Arguments, Spec, spec
from evaluator.report import Report, Status
from search import where as questions
from search.candidate import Candidate, Entry
from search.frontier import Frontier
from search.frontier import frontier as frontier_of
from search.why import why
from search.words import accuracy_text, speed_text

MOST_ROWS = 40


class All(Arguments):
    all: Annotated[bool, Field(description="Also what is within noise or beaten.")] = False


class Number(Arguments):
    candidate: Annotated[int, Field(ge=1, description="Its number.")]


class Query(Arguments):
    where: Annotated[str, Field(description='Of measured ones only those: "accuracy >= dense - 0.02 and speed > 2". Names: '
                                            f"{', '.join((*questions.NUMBERS, *questions.TEXTS))}.")] = ""
    sort: Annotated[str, Field(description="By this; -accuracy: largest first.")] = ""
    status: Annotated[str, Field(description=f"Only those that ended so: {', '.join(Status)}.")] = ""
    author: Annotated[str, Field(description="Only those that this proposer made.")] = ""
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 20


class Notebook(Arguments):
    kind: Annotated[Literal["", "hypothesis", "anti-pattern", "non-lever", "question", "steer"],
                    Field(description="Only entries of this kind.")] = ""
    question: Annotated[str, Field(max_length=400, description="A question worth keeping for later rounds: writes it down.")] = ""


def frontier(bench: Bench, asked: All) -> str:
    """The candidates that no other beats over accuracy and decode speed, with their intervals, and the controls."""
    entries = bench.entries()
    known = frontier_of(entries)
    if not known.standings:
        return "no candidate has both accuracy and speed yet"
    listed = table(known, shown(known, asked.all), {entry.candidate.id: entry.candidate for entry in entries})
    return "\n".join(part for part in (listed, "" if asked.all else rest_text(known)) if part)


def show(bench: Bench, asked: Number) -> str:
    """Everything about one candidate: why it was tried, what each stage measured, why it is or is not on the frontier,
    what it descends from, and its text."""
    entry = bench.candidate(asked.candidate)
    return f"{told(bench, entry)}\n\n{entry.candidate.flow.source.rstrip()}"


def told(bench: Bench, entry: Entry) -> str:
    """What `show` says of a candidate above its text."""
    one, known = entry.candidate, frontier_of(bench.entries())
    rows = [(f"{one.id}", f"{one.name}, round {one.round}, by {one.author}"), ("claim", one.hypothesis or "-"),
            ("point", ", ".join(f"{k} {getattr(one.point, k)}" for k, _ in bench.knobs) or "the campaign's"),
            ("lineage", "; ".join(f"{a.id} {a.name}" for a in _lineage(bench, one)) or "none"), *_stages(entry.report)]
    return f"{columns(rows)}\n\n{why(known, entry)}"


def query(bench: Bench, asked: Query) -> str:
    """Lists candidates of the campaign by what was measured of them, how they ended, or who made them."""
    entries = bench.entries()
    known = frontier_of(entries)
    chosen = [e for e in entries if asked.status in ("", str(e.candidate.status)) and asked.author in ("", e.candidate.author)]
    if asked.status and asked.status not in set(Status):
        raise ToolError(f"no candidate ends {asked.status!r}", hint=f"They end: {', '.join(Status)}.")
    if asked.where or asked.sort:
        chosen = _asked(known, chosen, asked)
    rows = [("#", "accuracy", "speed", "ended", "flow", "by", "parents"), *(_row(known, e) for e in chosen[:asked.limit])]
    rest = f"\n{len(chosen) - asked.limit} more." if len(chosen) > asked.limit else ""
    return f"{columns(rows)}{rest}" if chosen else "no candidate is like that"


def notebook(bench: Bench, asked: Notebook) -> str:
    """What the campaign has learned: hypotheses and their verdicts, anti-patterns, measured non-levers, open questions and
    what a person asks for. With `question` it writes one down."""
    if asked.question:
        if bench.write_question is None:
            raise ToolError("the notebook is only read here")
        bench.write_question(" ".join(asked.question.split()))
        return "written down"
    lines = [note for note in bench.notes() if asked.kind in ("", note.kind)]
    return "\n".join(f"{note.kind}: {note.text}" for note in lines) or "nothing is written there yet"


def _asked(known: Frontier, chosen: Sequence[Entry], asked: Query) -> list[Entry]:
    """Raises QueryError."""
    by_id = {entry.candidate.id: entry for entry in chosen}
    standings = [one for one in known.standings if one.candidate.id in by_id]
    if asked.where:
        test = questions.where(asked.where, known)
        standings = [one for one in standings if test(one)]
    if asked.sort:
        standings = questions.order(asked.sort)(standings)
    return [by_id[one.candidate.id] for one in standings]


def _row(known: Frontier, entry: Entry) -> tuple[str, ...]:
    one, standing = entry.candidate, known.find(entry.candidate.id)
    figures = ("-", "-") if standing is None else (accuracy_text(standing.accuracy), speed_text(standing.speed))
    last = entry.report.results[-1] if entry.report.results else None
    ended = str(one.status or "being judged") if standing is None else str(standing.place)
    code = f": {last.stage} {last.code}" if standing is None and last is not None and last.code else ""
    return (f"{one.id}", *figures, ended + code, short(one.name, 48), one.author, " ".join(map(str, one.parents)))


def _stages(report: Report) -> list[tuple[str, str]]:
    return [(result.stage, stage_text(result) + (f": {result.code}. {short(result.message, 400)}" if result.code else ""))
            for result in report.results] or [("stages", "nothing was measured")]


def _lineage(bench: Bench, one: Candidate) -> list[Candidate]:
    """Its ancestors, nearest first, each once."""
    known = {entry.candidate.id: entry.candidate for entry in bench.entries()}
    found: dict[int, Candidate] = {}
    waiting = list(one.parents)
    while waiting:
        id = waiting.pop(0)
        if id in known and id not in found:
            found[id] = known[id]
            waiting.extend(known[id].parents)
    return list(found.values())


EVIDENCE_TOOLS: tuple[Spec, ...] = (spec(frontier, All), spec(show, Number), spec(query, Query), spec(notebook, Notebook))
