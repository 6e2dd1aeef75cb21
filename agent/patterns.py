"""Memos: what lessons come to when they are read together; what did not work, what changed nothing, what stays open."""
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from agent.lessons import Lesson, one_line
from agent.verdict import Ruling

_Key = TypeVar("_Key")
Kind: TypeAlias = Literal["hypothesis", "anti-pattern", "non-lever", "question", "steer"]
TWICE = 2                             # what happened once may be chance
MOST_NAMED = 6                        # candidates that a memo names
NOT_WORDS = re.compile(r"[^a-z0-9_]+")
DIGITS = re.compile(r"\d+")
COMMON = frozenset(("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "has", "in", "into", "is", "it",
                    "its", "may", "more", "no", "not", "of", "on", "one", "or", "same", "than", "that", "the", "their", "them",
                    "then", "this", "to", "was", "which", "with", "adds", "drops", "cache", "indexer", "times", "against",
                    "accuracy", "speed"))


@dataclass(frozen=True, kw_only=True)
class Memo:
    """One thing worth remembering. `key` says what it is about, whatever the figures; `round` is that of its last evidence.

    `id`, `pinned` and `vetoed` are those of the note that keeps it; None: no note does yet.
    """

    kind: Kind
    text: str
    key: str
    candidates: tuple[int, ...] = ()
    round: int = 0
    ruling: Ruling | None = None
    id: int | None = None
    pinned: bool = False
    vetoed: bool = False

    @property
    def words(self) -> frozenset[str]:
        return words(self.text)


def words(text: str) -> frozenset[str]:
    """The words that tell one text from another."""
    return frozenset(word for word in NOT_WORDS.split(text.lower()) if len(word) > 1 and word not in COMMON
                     and not word.isdigit())


def normal(text: str) -> str:
    """The text without case and punctuation: texts of one normal form say the same."""
    return " ".join(word for word in NOT_WORDS.split(text.lower()) if word)


def memos(lessons: Iterable[Lesson]) -> tuple[Memo, ...]:
    """All that lessons come to; the order in which they are given does not matter."""
    ordered = distinct(sorted(lessons, key=lambda one: (one.round, one.candidate)))
    return (*map(hypothesis, ordered), *failures(ordered), *refuted(ordered), *non_levers(ordered), *questions(ordered))


def distinct(lessons: Sequence[Lesson]) -> list[Lesson]:
    """The first of each flow at each point: what was proposed again is not evidence anew."""
    return list({one.pair: one for one in reversed(lessons)}.values())[::-1]


def hypothesis(lesson: Lesson) -> Memo:
    """A claim with its verdict."""
    done = f" ({one_line(lesson.delta.text, 120)})" if lesson.delta.text else ""
    claim = one_line(lesson.claim.mechanism or "it was not said why", 240)
    text = f"{lesson.candidate} {one_line(lesson.name, 60)}{done}: {claim} {lesson.verdict.text}"
    return Memo(kind="hypothesis", text=one_line(text, 600), key=f"hypothesis {lesson.candidate}", round=lesson.round,
                candidates=(lesson.candidate,), ruling=lesson.verdict.ruling)


def failures(lessons: Sequence[Lesson]) -> Iterator[Memo]:
    """Changes after which most candidates ended at the same stage for the same reason."""
    ends = _grouped(lessons, lambda one: [one.verdict.ended] if one.is_failure else [])
    for ended, failed in ends.items():
        unnamed = _grouped(failed, lambda one: [] if one.delta.labels else [DIGITS.sub("#", one.refusal)])
        for words, group in unnamed.items():
            if len(group) >= TWICE:
                text = f"{ended}: {group[-1].refusal or 'no reason given'} ({_named(group)})"
                yield _memo("anti-pattern", text, f"failed {ended} {words}", group)
        for labels, group, tried in _telling(failed, lessons):
            text = f"{' and '.join(labels)}: {len(group)} of {tried} ended at {ended} ({_named(group)})"
            said = group[-1].refusal
            yield _memo("anti-pattern", f"{text}: {said}" if said else text, f"failed {ended} {labels}", group)


def refuted(lessons: Sequence[Lesson]) -> Iterator[Memo]:
    """Changes whose claims were refuted, most of the times that they were tested."""
    tested = [one for one in lessons if one.verdict.ruling in (Ruling.SUPPORTED, Ruling.REFUTED, Ruling.UNDECIDED)]
    against = [one for one in tested if one.verdict.ruling is Ruling.REFUTED and not one.is_failure and not changed_nothing(one)]
    for labels, group, tried in _telling(against, tested):
        seen = "; ".join(f"{one.candidate}: {_effects(one)}" for one in group[-3:])
        text = f"{' and '.join(labels)}: refuted {len(group)} of {tried} times ({seen})"
        yield _memo("anti-pattern", text, f"refuted {labels}", group)


def non_levers(lessons: Sequence[Lesson]) -> Iterator[Memo]:
    """Changes that were measured to change nothing, whenever they were tried alone."""
    tested = [one for one in lessons if one.verdict.effects and one.delta.labels and not one.is_failure]
    for labels, group in _grouped(tested, lambda one: [one.delta.labels]).items():
        if all(changed_nothing(one) for one in group):
            seen = "; ".join(f"{one.candidate}: {_effects(one)}" for one in group[-3:])
            yield _memo("non-lever", f"{one_line(group[0].delta.text, 160)}: no difference ({seen})", f"nothing {labels}", group)


def questions(lessons: Sequence[Lesson]) -> Iterator[Memo]:
    """Claims that were measured and left open by wide intervals, with what it would take to close them."""
    for one in lessons:
        wide = [f.change for f in one.verdict.findings if f.ruling is Ruling.UNDECIDED and f.change and f.change.is_wide]
        if not one.verdict.findings:
            wide = [effect for effect in one.verdict.effects if effect.is_wide]
        if one.verdict.ruling is Ruling.UNDECIDED and wide:
            low, high = wide[0].ends
            needed = round(wide[0].estimate.count * ((high - low) / 2 / wide[0].margin) ** 2)
            claim = one_line(one.claim.mechanism or one.delta.text or one.name, 240)
            text = (f"{claim} {one.candidate}: {wide[0].text} over {wide[0].estimate.count} rows, open; "
                    f"about {needed} would settle it")
            yield _memo("question", text, f"open {normal(claim)}", [one])


def changed_nothing(lesson: Lesson) -> bool:
    """Whether accuracy and speed were both measured and neither moved."""
    effects = {effect.objective: effect for effect in lesson.verdict.effects}
    return {"accuracy", "speed"} <= effects.keys() and all(effects[name].is_none for name in ("accuracy", "speed"))


def unique(found: Iterable[Memo]) -> tuple[Memo, ...]:
    """One memo a key and one a normal form of its text, in order; of two the pinned stays, then the first, and it takes
    a veto over."""
    return _first_of(_first_of(found, lambda memo: memo.key), lambda memo: normal(memo.text))


def _first_of(found: Iterable[Memo], same: Callable[[Memo], str]) -> tuple[Memo, ...]:
    kept: dict[tuple[Kind, str], Memo] = {}
    for memo in found:
        told = memo.kind, same(memo)
        other = kept.get(told)
        stays = memo if other is None or (memo.pinned and not other.pinned) else other
        kept[told] = replace(stays, vetoed=memo.vetoed or (other is not None and other.vetoed))
    return tuple(kept.values())


def _telling(some: Sequence[Lesson], among: Sequence[Lesson]) -> Iterator[tuple[tuple[str, ...], list[Lesson], int]]:
    """Changes that most of those who made them share with `some`: what was changed, the lessons, how many tried it.

    Changes that always came together are told together.
    """
    tried = _grouped(among, lambda one: one.delta.labels)
    together: dict[tuple[int, ...], list[str]] = defaultdict(list)
    groups = _grouped(some, lambda one: one.delta.labels)
    for label, group in groups.items():
        if len(group) >= TWICE and 2 * len(group) > len(tried[label]):
            together[tuple(one.candidate for one in group)].append(label)
    for labels in together.values():
        most = max(len(tried[label]) for label in labels)
        yield tuple(labels[:4]), groups[labels[0]], most


def _grouped(lessons: Iterable[Lesson], keys: Callable[[Lesson], Iterable[_Key]]) -> dict[_Key, list[Lesson]]:
    found: dict[_Key, list[Lesson]] = defaultdict(list)
    for one in lessons:
        for key in keys(one):
            found[key].append(one)
    return dict(found)


def _memo(kind: Kind, text: str, key: str, group: Sequence[Lesson]) -> Memo:
    return Memo(kind=kind, text=one_line(text, 600), key=key, candidates=tuple(one.candidate for one in group),
                round=max(one.round for one in group))


def _named(group: Sequence[Lesson]) -> str:
    ids = [str(one.candidate) for one in group]
    return ", ".join(ids[-MOST_NAMED:]) + (f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else "")


def _effects(lesson: Lesson) -> str:
    return ", ".join(effect.text for effect in lesson.verdict.effects[:2])
