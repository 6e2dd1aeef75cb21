"""A Lesson: what one candidate changed, what was claimed for it, and what measurement says; a pure function of entries."""
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.claims import Claim
from agent.verdict import Verdict, verdict
from evaluator.report import Status
from search.candidate import Candidate, Entry
from vortex.errors import GraphError
from vortex.ir import Graph, Node

PLUMBING = ("input", "field", "state", "transpose", "reshape")   # how values are named and laid out, not what is done
NAMING = ("name", "file", "key", "digest", "shape")
MOST_TEXT = 400


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What sets a candidate apart from its rival: ops with their program (`abs in the cache`) and settings of the point."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()        # "topk_ratio 0.125 -> 0.0625"

    @property
    def labels(self) -> tuple[str, ...]:
        """The single changes, each as words."""
        return (*(f"adds {one}" for one in self.added), *(f"drops {one}" for one in self.dropped), *self.settings)

    @property
    def text(self) -> str:
        parts = [f"{verb} {_listed(ops)}" for verb, ops in (("adds", self.added), ("drops", self.dropped)) if ops]
        return "; ".join([*parts, *self.settings])

    def to_json(self) -> dict[str, Any]:
        return {"added": list(self.added), "dropped": list(self.dropped), "settings": list(self.settings)}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Delta":
        return Delta(added=tuple(body["added"]), dropped=tuple(body["dropped"]), settings=tuple(body["settings"]))


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """`pair` are the hashes of flow and point, `refusal` the first line of what a stage said that it did not pass."""

    candidate: int
    name: str
    round: int
    pair: tuple[str, str]
    claim: Claim
    verdict: Verdict
    delta: Delta
    refusal: str = ""

    @property
    def is_failure(self) -> bool:
        return bool(self.verdict.ended)

    def to_json(self) -> dict[str, Any]:
        return {"candidate": self.candidate, "name": self.name, "round": self.round, "pair": list(self.pair),
                "claim": self.claim.to_json(), "verdict": self.verdict.to_json(), "delta": self.delta.to_json(),
                "refusal": self.refusal}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Lesson":
        first, second = body["pair"]
        return Lesson(candidate=body["candidate"], name=body["name"], round=body["round"], pair=(first, second),
                      claim=Claim.from_json(body["claim"]), verdict=Verdict.from_json(body["verdict"]),
                      delta=Delta.from_json(body["delta"]), refusal=body["refusal"])


def is_idea(candidate: Candidate) -> bool:
    """Whether there is something to learn from: not a control, and not the search's or the machine's own affair."""
    return candidate.tier != "control" and candidate.status not in (None, Status.INFRASTRUCTURE)


def lesson(entry: Entry, known: Mapping[int, Entry], claim: Claim | None = None) -> Lesson:
    """Of an entry for which is_idea holds. `known` are entries by id; a duplicate is judged by what it is the same as."""
    candidate = entry.candidate
    claimed = claim or Claim(mechanism=candidate.hypothesis)
    other = rival(entry, known)
    measured = known.get(candidate.duplicate_of or candidate.id, entry)
    found = verdict(claimed, entry if other is measured else measured, other)
    return Lesson(candidate=candidate.id, name=candidate.name, round=candidate.round, claim=claimed, verdict=found,
                  pair=(candidate.flow.hash, candidate.point.hash), refusal=_refusal(entry),
                  delta=Delta() if other is None else delta(candidate, other.candidate))


def rival(entry: Entry, known: Mapping[int, Entry]) -> Entry | None:
    """What it is compared with: the nearest ancestor that was measured, else the control most like it, else dense."""
    seen, row = {entry.candidate.id}, list(entry.candidate.parents)
    while row:
        for id in row:
            if id in known and _comparable(known[id], entry):
                return known[id]
        seen.update(row)
        row = [up for id in row if id in known for up in known[id].candidate.parents if up not in seen]
    controls = [one for _, one in sorted(known.items()) if one.candidate.tier == "control" and _comparable(one, entry)]
    mine = _ops(entry.candidate)
    alike = [one for one in controls if not one.candidate.is_dense and mine and _ops(one.candidate)]
    if alike:
        return max(alike, key=lambda one: (_overlap(mine, _ops(one.candidate)), -one.candidate.id))
    return next((one for one in controls if one.candidate.is_dense), None)


def delta(ours: Candidate, theirs: Candidate) -> Delta:
    """What `ours` adds and drops, as often as it does, and the settings that differ."""
    mine, other = _ops(ours), _ops(theirs)
    point, was = ours.point.model_dump(mode="json"), theirs.point.model_dump(mode="json")
    settings = tuple(f"{key} {was[key]} -> {point[key]}" for key in sorted(point) if point[key] != was[key])
    if not mine or not other:
        return Delta(settings=settings)
    return Delta(added=_spelled(mine - other), dropped=_spelled(other - mine), settings=settings)


def one_line(text: str, most: int = MOST_TEXT) -> str:
    """Text of others as a single line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _comparable(one: Entry, entry: Entry) -> bool:
    """Whether it was measured, on the same model and engine."""
    point, other = one.candidate.point, entry.candidate.point
    return (one.candidate.id != entry.candidate.id and one.candidate.status is Status.OK
            and (point.model, point.engine) == (other.model, other.engine))


def _refusal(entry: Entry) -> str:
    """The line of the last stage's message that says what is wrong: a placed refusal opens with its place and its code."""
    if entry.candidate.status in (None, Status.OK) or not entry.report.results:
        return ""
    last = entry.report.results[-1]
    lines = [line.strip() for line in last.message.splitlines() if line.strip()]
    if lines and lines[0].endswith(last.code) and len(lines) > 1:
        # As VortexError.report writes it: the place, the offending line, a row of carets, then the message.
        told = [line for line in lines[1:] if set(line) != {"^"}]
        lines = told[1:] or told
    return one_line(lines[0], 160) if lines else ""


@lru_cache(maxsize=4096)
def _ops_of(graph_json: str) -> "Counter[str]":
    """None of a Graph of another format, which an old archive may hold."""
    try:
        graph = Graph.from_json(graph_json)
    except GraphError:
        return Counter()
    named: Iterable[tuple[str, Sequence[Node]]] = (("cache", graph.cache), ("indexer", graph.indexer))
    return Counter(_label(node, side) for side, nodes in named for node in nodes if node.op not in PLUMBING)


def _ops(candidate: Candidate) -> "Counter[str]":
    """Ops with what they are told, by program; none of what has no Graph."""
    text = candidate.flow.graph_json
    return Counter() if text is None else _ops_of(text)


def _label(node: Node, side: str) -> str:
    told = [f"{value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in node.attrs
            if key not in NAMING and value is not None and not isinstance(value, tuple)]
    return " ".join([node.op, *told, f"in the {side}"])


def _spelled(ops: "Counter[str]") -> tuple[str, ...]:
    return tuple(f"{op} ({count} times)" if count > 1 else op for op, count in sorted(ops.items()))


def _listed(ops: Sequence[str]) -> str:
    """`abs, sum dim=2 in the cache and exp in the indexer`: the program is named once."""
    parts = []
    for side in ("cache", "indexer"):
        mine = [op.replace(f" in the {side}", "") for op in ops if f" in the {side}" in op]
        if mine:
            parts.append(f"{', '.join(mine)} in the {side}")
    return " and ".join(parts)


def _overlap(a: "Counter[str]", b: "Counter[str]") -> float:
    return (a & b).total() / (a | b).total()
