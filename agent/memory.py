"""What a campaign remembers: claims with verdicts, and what they come to; kept as notes, recalled by relevance under a cap."""
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.claims import Claim
from agent.lessons import Lesson, is_idea, lesson, one_line
from agent.patterns import Kind, Memo, memos, unique, words
from agent.proposers.base import Parent
from agent.verdict import Ruling
from search.candidate import Candidate, Entry
from search.store.archive import Archive
from search.store.notes import Note

CHARACTERS, MOST_OF_A_KIND = 6_000, 8
HEADS: Mapping[Kind, str] = {
    "steer": "Asked for by the people who run this campaign", "anti-pattern": "What did not work",
    "non-lever": "Measured to change nothing", "question": "Open questions", "hypothesis": "Claims with their verdicts",
}


@dataclass(frozen=True)
class Recalled:
    """Memos in the order in which they matter: pinned ones, what people asked for, then the most relevant."""

    memos: tuple[Memo, ...] = ()

    @property
    def text(self) -> str:
        """A head a kind, a line a memo."""
        parts = [(head, [f"- {memo.text}" for memo in self.memos if memo.kind == kind]) for kind, head in HEADS.items()]
        return "\n".join("\n".join((f"{head}:", *lines)) for head, lines in parts if lines)


def hold(archive: Archive, candidate: Candidate, claim: Claim) -> None:
    """Keeps what was claimed for a candidate before it is judged; keeping it again changes nothing."""
    archive.add_note(candidate.campaign, "hypothesis", _title(candidate, claim), candidate=candidate.id,
                     data={"claim": claim.to_json()})


def learn(archive: Archive, campaign: str) -> tuple[Memo, ...]:
    """Rules on what was judged since, and keeps what all lessons come to. Gives every memo with its note, vetoed ones too.

    Each note is written once, whole: after a kill the rest is written the next time.
    """
    entries, notes = archive.entries(campaign), archive.notes(campaign)
    held, drawn = _held(notes), _lessons(entries, notes)
    for one in drawn:
        _keep_lesson(archive, campaign, one, held.get(one.candidate))
    known = _keyed(notes)
    for memo in unique(memos(drawn)):
        if memo.kind != "hypothesis":
            _keep_memo(archive, campaign, memo, known.get(memo.key))
    return unique(_noted(memos(drawn), archive.notes(campaign)))


def recall(entries: Sequence[Entry], notes: Sequence[Note], about: Collection[str] = (),
           characters: int = CHARACTERS) -> Recalled:
    """What is worth telling a proposer, its text within `characters`; `about` are words, see `about_of`.

    Evidence is that of `entries` alone, so that a round which is proposed again recalls the same.
    """
    told = [memo for memo in unique(_noted(memos(_lessons(entries, notes)), notes)) if not memo.vetoed and _tells(memo)]
    rarity = _rarity(told)
    shared = frozenset(about)

    def order(memo: Memo) -> tuple[bool, bool, float, int, str, str]:
        score = sum(rarity[word] for word in sorted(memo.words & shared))
        return not memo.pinned, memo.kind != "steer", -score, -memo.round, memo.kind, memo.key

    chosen, kinds = Recalled(), Counter[Kind]()
    for memo in sorted(told, key=order):
        more = Recalled((*chosen.memos, memo))
        if (memo.pinned or kinds[memo.kind] < MOST_OF_A_KIND) and len(more.text) <= characters:
            chosen = more
            kinds[memo.kind] += 1
    return chosen


def lessons(archive: Archive, campaign: str) -> Mapping[int, Lesson]:
    """What was learned of each candidate, by its number."""
    return {one.candidate: one for one in _lessons(archive.entries(campaign), archive.notes(campaign))}


def about_of(parents: Iterable[Parent], theme: str = "") -> frozenset[str]:
    """The words of a round: ops, fields and names of its parents, and the theme."""
    texts = [theme]
    for parent in parents:
        texts += [parent.name, *(node.op for node in (*parent.graph.cache, *parent.graph.indexer)),
                  *(field.name for field in parent.graph.fields)]
    return words(" ".join(texts))


def _lessons(entries: Sequence[Entry], notes: Sequence[Note]) -> list[Lesson]:
    """Of all that was judged among `entries`: as it was kept, else drawn now."""
    known, held = {entry.candidate.id: entry for entry in entries}, _held(notes)
    return [_lesson(entry, known, held.get(entry.candidate.id)) for entry in entries if is_idea(entry.candidate)]


def _lesson(entry: Entry, known: Mapping[int, Entry], note: Note | None) -> Lesson:
    data = {} if note is None else note.data
    if "lesson" in data:
        return Lesson.from_json(data["lesson"])
    return lesson(entry, known, Claim.from_json(data["claim"]) if "claim" in data else None)


def _held(notes: Iterable[Note]) -> dict[int, Note]:
    """Hypotheses by their candidate; the first of each."""
    found: dict[int, Note] = {}
    for note in notes:
        if note.kind == "hypothesis" and note.candidate is not None:
            found.setdefault(note.candidate, note)
    return found


def _keyed(notes: Iterable[Note]) -> dict[str, Note]:
    """What lessons came to, by what it is about; the first of each."""
    found: dict[str, Note] = {}
    for note in notes:
        if "key" in note.data:
            found.setdefault(str(note.data["key"]), note)
    return found


def _keep_lesson(archive: Archive, campaign: str, one: Lesson, note: Note | None) -> None:
    data = {**({} if note is None else note.data), "claim": one.claim.to_json(), "lesson": one.to_json()}
    if note is None:
        text = one_line(one.claim.mechanism or one.name)
        archive.add_note(campaign, "hypothesis", text, candidate=one.candidate, data=data)
    elif "lesson" not in note.data:
        archive.change_note(note.id, data=data)


def _keep_memo(archive: Archive, campaign: str, memo: Memo, note: Note | None) -> None:
    data = {"key": memo.key, "candidates": list(memo.candidates), "last": memo.round}
    if note is None:
        archive.add_note(campaign, memo.kind, memo.text, data=data)
    elif note.text != memo.text:
        archive.change_note(note.id, text=memo.text, data=data)


def _noted(found: Iterable[Memo], notes: Sequence[Note]) -> list[Memo]:
    """Memos with what their notes say of them, and what was noted by hand. What evidence no longer bears out is left out,
    unless somebody pinned it."""
    keyed, held, memos = _keyed(notes), _held(notes), list(found)
    all_of_them = [_marked(memo, held.get(memo.candidates[0]) if memo.kind == "hypothesis" else keyed.get(memo.key))
                   for memo in memos]
    keys = {memo.key for memo in memos}
    for note in notes:
        by_hand = "key" not in note.data and (note.kind != "hypothesis" or note.candidate is None)
        if by_hand or (note.pinned and "key" in note.data and note.data["key"] not in keys):
            all_of_them.append(Memo(kind=note.kind, text=one_line(note.text), key=str(note.data.get("key", f"note {note.id}")),
                                    candidates=tuple(note.data.get("candidates", ())), id=note.id, pinned=note.pinned,
                                    vetoed=note.vetoed))
    return all_of_them


def _marked(memo: Memo, note: Note | None) -> Memo:
    return memo if note is None else replace(memo, id=note.id, pinned=note.pinned, vetoed=note.vetoed)


def _tells(memo: Memo) -> bool:
    """A claim that measurement has not answered tells nothing that the questions do not."""
    return memo.pinned or memo.kind != "hypothesis" or memo.ruling in (None, Ruling.SUPPORTED, Ruling.REFUTED)


def _rarity(told: Sequence[Memo]) -> Mapping[str, float]:
    """A weight a word: the fewer memos have it, the more it tells."""
    counts = Counter(word for memo in told for word in memo.words)
    return {word: math.log(1 + len(told) / count) for word, count in counts.items()}


def _title(candidate: Candidate, claim: Claim) -> str:
    return one_line(claim.mechanism or candidate.hypothesis or candidate.name)
