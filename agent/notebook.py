"""The notebook of a campaign as people read it: text for a terminal, plain values, and one page of HTML."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import Any

from agent import memory
from agent.lessons import Lesson, one_line
from agent.patterns import Kind, Memo
from agent.verdict import Ruling
from search.store.archive import Archive

TITLES: Mapping[Kind, str] = {
    "steer": "Steering", "hypothesis": "Hypotheses", "anti-pattern": "Anti-patterns: what did not work",
    "non-lever": "Non-levers: measured to change nothing", "question": "Open questions",
}
WIDTH, INDENT = 118, " " * 7
STYLE = """body{font:15px/1.55 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h2{margin:2.2rem 0 .4rem;font-size:1.15rem}article{border-top:1px solid #ddd;padding:.6rem 0}p{margin:.15rem 0}
small,.off{color:#666}.off{text-decoration:line-through}b{padding:.05rem .45rem;border-radius:.6rem;font-size:.85rem}
.supported{background:#d8f0dc}.refuted{background:#f6d9d5}.undecided{background:#f7ecc8}.untested{background:#e8e8e8}
table{border-collapse:collapse;font-size:.92rem}td{padding:.1rem 1rem .1rem 0;vertical-align:top}"""


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """`memos` in the order of their kinds as TITLES names them, pinned ones first; vetoed ones are among them."""

    campaign: str
    memos: tuple[Memo, ...]
    lessons: Mapping[int, Lesson]

    def of(self, kind: Kind) -> tuple[Memo, ...]:
        return tuple(memo for memo in self.memos if memo.kind == kind)


def read(archive: Archive, campaign: str, kind: Kind | None = None) -> Notebook:
    """As it stands now; what was judged since is ruled on and kept first. All kinds, or one."""
    order = list(TITLES)
    memos = [memo for memo in memory.learn(archive, campaign) if kind in (None, memo.kind)]
    rulings = list(Ruling)
    memos.sort(key=lambda memo: (order.index(memo.kind), memo.vetoed, not memo.pinned,
                                 0 if memo.ruling is None else rulings.index(memo.ruling)))
    return Notebook(campaign=campaign, memos=tuple(memos), lessons=memory.lessons(archive, campaign))


def counts(book: Notebook) -> str:
    """`24 hypotheses: 1 supported, 6 refuted, 17 undecided`"""
    rulings = [lesson.verdict.ruling for lesson in book.lessons.values()]
    told = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in Ruling if ruling in rulings)
    return f"{len(rulings)} {'hypothesis' if len(rulings) == 1 else 'hypotheses'}" + (f": {told}" if told else "")


def text(book: Notebook) -> str:
    """What a terminal shows: the number of each note, marks of people, and what it says."""
    parts = [f"{book.campaign}  {counts(book)}"]
    for kind, title in TITLES.items():
        if memos := book.of(kind):
            parts.append("\n".join([title, *(_paragraph(memo, _lesson(book, memo)) for memo in memos)]))
    return "\n\n".join(parts) if len(parts) > 1 else f"campaign {book.campaign}: nothing is noted yet"


def records(book: Notebook) -> list[dict[str, Any]]:
    """Plain values; those of a hypothesis hold the claim and its verdict."""
    return [_record(memo, _lesson(book, memo)) for memo in book.memos]


def page(book: Notebook) -> str:
    """HTML that needs nothing from anywhere, and in which text of models and people is text."""
    name = escape(book.campaign)
    parts = [f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Notebook of {name}</title><style>{STYLE}</style>",
             f"<h1>Notebook of {name}</h1><p>{escape(counts(book))}</p>"]
    for kind, title in TITLES.items():
        if memos := book.of(kind):
            parts += [f"<h2>{escape(title)}</h2>", *(_article(memo, _lesson(book, memo)) for memo in memos)]
    return "\n".join((*parts, "</html>\n"))


def _lesson(book: Notebook, memo: Memo) -> Lesson | None:
    return book.lessons.get(memo.candidates[0]) if memo.kind == "hypothesis" and memo.candidates else None


def _marks(memo: Memo) -> str:
    return " ".join(mark for mark, is_so in (("pinned", memo.pinned), ("vetoed", memo.vetoed)) if is_so)


def _paragraph(memo: Memo, lesson: Lesson | None) -> str:
    marks = f"[{_marks(memo)}] " if _marks(memo) else ""
    lines = [f"{marks}{memo.text}"]
    if lesson is not None:
        lines = [f"{marks}{lesson.candidate} {one_line(lesson.name, 80)}, round {lesson.round}",
                 one_line(lesson.claim.mechanism) or "it was not said why", one_line(lesson.verdict.text)]
        lines += [f"changed: {one_line(lesson.delta.text, 200)}"] if lesson.delta.text else []
    filled = [fill(line, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT) for line in lines]
    return f"{memo.id or '-':>5}  " + "\n".join(filled).removeprefix(INDENT)


def _record(memo: Memo, lesson: Lesson | None) -> dict[str, Any]:
    known = {"id": memo.id, "kind": memo.kind, "text": memo.text, "candidates": list(memo.candidates), "round": memo.round,
             "pinned": memo.pinned, "vetoed": memo.vetoed}
    if lesson is None:
        return known
    return {**known, "name": lesson.name, "claim": lesson.claim.to_json(), "verdict": lesson.verdict.to_json(),
            "change": lesson.delta.to_json()}


def _article(memo: Memo, lesson: Lesson | None) -> str:
    marks = " ".join([f"note {memo.id}" if memo.id else "", _marks(memo)]).strip()
    css = " class='off'" if memo.vetoed else ""
    if lesson is None:
        return f"<article><p{css}>{escape(memo.text)}</p><small>{escape(marks)}</small></article>"
    verdict = lesson.verdict
    against = "" if verdict.rival is None else f", against {verdict.rival}"
    head = (f"<p><b class='{verdict.ruling}'>{verdict.ruling}</b> {lesson.candidate} {escape(lesson.name)} "
            f"<small>round {lesson.round}{against}; {escape(marks)}</small></p>")
    rows = [(one.text, "") for one in verdict.findings]
    if verdict.effects:
        rows.append(("measured", "; ".join(one.text for one in verdict.effects)))
    if lesson.claim.refuted_by:
        rows.append(("said to be refuted by", lesson.claim.refuted_by))
    if verdict.ended:
        rows.append(("ended at", f"{verdict.ended}. {lesson.refusal}"))
    if lesson.delta.text:
        rows.append(("changed", lesson.delta.text))
    return f"<article>{head}<p{css}>{escape(lesson.claim.mechanism)}</p>{_table(rows)}</article>"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td{'' if second else ' colspan=2'}>{escape(first)}</td>"
                    f"{f'<td>{escape(second)}</td>' if second else ''}</tr>" for first, second in rows)
    return f"<table>{cells}</table>"
