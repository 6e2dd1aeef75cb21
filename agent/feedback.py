"""What a round may be told of the archive: figures, evidence, failures and notes as plain words, most telling first."""
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.memory import about_of, recall
from agent.patterns import Memo
from agent.proposers.base import Parent, Round
from agent.told import Ancestor, Failure, Figures, Outcome, Told
from evaluator import statistics
from evaluator.report import Estimate, RowsByStage, Status
from search.candidate import Entry
from search.frontier import Frontier, Place, Standing, frontier
from search.store.notes import Note
from search.why import why
from search.words import accuracy_text, bytes_text, length_text, lengths_text, share_text, speed_text
from vortex.budget import num_blocks
from vortex.compiler.cost import ITEMSIZE, Shape, cost
from vortex.config import OperatingPoint
from vortex.language.source import to_source

MOST_PARENTS, MOST_SIBLINGS, MOST_FAILURES, MOST_FRONTIER = 8, 24, 12, 24
MOST_REMEMBERED = 4_000               # characters of what memory recalls
MOST_SOURCE = 3_000                   # characters of one flow
CONTEXT = 8192                        # tokens that costs are told for, before any speed was measured
NUMBER = re.compile(r"\d+(?:\.\d+)?")
FAILED = (Status.REJECTED, Status.COMPILE, Status.NUMERICS, Status.GATE, Status.STOPPED, Status.TIMEOUT, Status.MEMORY,
          Status.CRASH, Status.HACK)
PLACES = {Place.BEST: "on the frontier", Place.NEAR: "within noise of the frontier", Place.BEATEN: "beaten",
          Place.CONTROL: "control"}


def gather(round: Round, entries: Sequence[Entry], *, goal: str = "", notes: Iterable[Note] = (), theme: str = "",
           hardware: Mapping[str, Any] | None = None) -> Told:
    """What `entries`, those of finished rounds, tell a proposer that is to build on `round.parents`.

    Of `notes` those count that earlier rounds left, as far as they bear on the parents and the theme. `hardware` is a
    record of the archive's environments; without one it is that of the dense control.
    """
    known = frontier(entries)
    by_id = {entry.candidate.id: entry for entry in entries}
    parents = tuple({(p.id, p.name, p.point.hash): p for p in round.parents}.values())[:MOST_PARENTS]
    family = {p.id for p in parents if p.id is not None}
    judged = [e for e in entries if e.candidate.tier != "control" and e.candidate.status is not None]
    siblings = {e.candidate.id: e for e in reversed(judged)
                if family & set(e.candidate.parents) and e.candidate.id not in family}
    dense = next((e for e in entries if e.candidate.is_dense), None)
    return Told(
        number=round.number, goal=goal, point=_point(round.point), sizes=_sizes(round), costs=_costs(round, _context(dense)),
        knobs=tuple(f"{name}: {', '.join(map(str, values))}" for name, values in round.knobs),
        hardware=_hardware(hardware or _machine(round, dense), dense), lengths=_lengths(known),
        controls=tuple(_standing(one) for one in known.standings if one.candidate.tier == "control"),
        frontier=_frontier(known)[:MOST_FRONTIER],
        parents=tuple(_ancestor(parent, by_id, known) for parent in parents),
        siblings=tuple(_outcome(entry, known) for entry in _telling(siblings.values(), known)[:MOST_SIBLINGS]),
        failures=tuple(_failures(e for e in judged if e.candidate.id not in siblings))[:MOST_FAILURES],
        notes=_remembered(round, entries, notes, theme), tried=len(judged),
        failed=sum(e.candidate.status in FAILED for e in judged),
    )


def _point(point: OperatingPoint) -> tuple[str, ...]:
    """One a setting, each on one line."""
    settings = point.model_dump(mode="json").items()
    return tuple(" ".join(f"{name} {value}".split()) for name, value in settings if value not in ([], None))


def _sizes(round: Round) -> dict[str, int]:
    """What `self` holds in a flow."""
    geometry = round.geometry
    latent = {"kv_lora_rank": geometry.kv_lora_rank, "qk_rope_head_dim": geometry.qk_rope_head_dim}
    return {"block_size": geometry.block_size, "head_dim": geometry.head_dim, "group": geometry.group,
            **(latent if geometry.latent else {})}


def _costs(round: Round, context: int) -> tuple[str, ...]:
    """The arithmetic of one request, kv head and layer: dense, each share of blocks, and one vector kept a block."""
    shape, geometry, point = Shape(context=context, layers=1, kv_heads=1), round.geometry, round.point
    dense = cost(None, point, geometry, shape).bytes_per_step
    blocks = num_blocks(context, point.block_size)
    vectors = blocks * geometry.head_dim * ITEMSIZE[point.dtype]
    shares = dict(round.knobs).get("topk_ratio", (point.topk_ratio,))
    kept = "; ".join(f"{share_text(share)} of them is {bytes_text(share * dense)}" for share in shares)
    return (f"Dense attention reads {bytes_text(dense)}: {blocks:,} blocks of {bytes_text(dense / blocks)}; {kept}.",
            f"One vector of {geometry.head_dim} numbers a block, read by every scoring, adds {bytes_text(vectors)} "
            f"({vectors / dense:.1%} of dense); one number a block adds {bytes_text(vectors / geometry.head_dim)}.")


def _hardware(record: Mapping[str, Any], dense: Entry | None) -> str:
    """The machine, and how long its dense step takes."""
    parts = [str(record[key]) for key in ("gpu", "processor") if record.get(key)]
    parts += [f"{record['cores']} cores"] if record.get("cores") else []
    speed = None if dense is None else dense.report.result(statistics.SPEED_STAGE)
    if speed is not None and "step_ms" in speed.metrics:
        lengths = ", ".join(length_text(int(length)) for length in speed.facts.get("context", ()))
        parts.append(f"a dense step of {speed.facts.get('batch', 1)} requests of {lengths} tokens takes "
                     f"{speed.metrics['step_ms'].value:.3g} ms")
    return "; ".join(parts)


def _machine(round: Round, dense: Entry | None) -> Mapping[str, Any]:
    """Where the dense control was measured, as far as the round has an archive to ask."""
    if round.desk is None or dense is None:
        return {}
    return next(iter(round.desk.archive.environments(dense.candidate)), {})


def _context(dense: Entry | None) -> int:
    """The length that costs are told for: the longest that speed is measured at."""
    speed = None if dense is None else dense.report.result(statistics.SPEED_STAGE)
    return max((int(length) for length in speed.facts.get("context", ())), default=CONTEXT) if speed else CONTEXT


def _lengths(known: Frontier) -> dict[str, str]:
    """`1K`, `576-1K`; nothing where nothing was measured."""
    return {"accuracy": lengths_text(known.accuracy_lengths).strip(" @"),
            "speed": lengths_text(known.speed_lengths).strip(" @")}


def _standing(one: Standing) -> Figures:
    candidate = one.candidate
    return Figures(id=candidate.id, name=candidate.name, accuracy=accuracy_text(one.accuracy), speed=speed_text(one.speed),
                   share="all" if candidate.is_dense else share_text(one.share), bytes=bytes_text(one.bytes_per_step),
                   place=PLACES[one.place], times_dense=one.speed.value, parents=candidate.parents)


def _frontier(known: Frontier) -> tuple[Figures, ...]:
    """The frontier, its ends and then what lies between them first; then what is within noise of it, the nearest first."""
    best = _spread([one for one in known.at(Place.BEST) if not one.candidate.is_dense])
    near = sorted(known.at(Place.NEAR), key=lambda one: (one.doubt, one.candidate.id))
    return tuple(_standing(one) for one in (*best, *near))


def _spread(ordered: Sequence[Standing]) -> list[Standing]:
    """The same ones, so ordered that any number of the first of them cover the whole range."""
    ends = [0, len(ordered) - 1]
    gaps = deque([(0, len(ordered) - 1)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            ends.append(middle)
            gaps.extend(((low, middle), (middle, high)))
    return [ordered[index] for index in dict.fromkeys(ends)] if ordered else []


def _ancestor(parent: Parent, by_id: Mapping[int, Entry], known: Frontier) -> Ancestor:
    entry = by_id.get(parent.id) if parent.id is not None else None
    if entry is None:
        return Ancestor(id=parent.id, name=parent.name, source=to_source(parent.graph, name=parent.name, doc=""))
    standing = known.find(entry.candidate.id)
    return Ancestor(id=parent.id, name=parent.name, source=_source(entry, parent), why=why(known, entry),
                    standing=None if standing is None else _standing(standing), hypothesis=entry.candidate.hypothesis,
                    tasks=_tasks(entry, known.dense), costs=_measured_costs(entry))


def _source(entry: Entry, parent: Parent) -> str:
    """As it was written; where that is long, as its Graph is written out."""
    text = entry.candidate.flow.source
    return text if len(text) <= MOST_SOURCE else to_source(parent.graph, name=parent.name, doc="")


def _tasks(entry: Entry, dense: Standing | None) -> tuple[str, ...]:
    """Each task's accuracy with its interval, beside that of dense attention."""
    theirs = {} if dense is None else _by_task(dense.rows)
    return tuple(f"{task} {accuracy_text(figure)}" + (f" (dense {accuracy_text(theirs[task])})" if task in theirs else "")
                 for task, figure in _by_task(entry.by_stage).items())


def _by_task(rows: RowsByStage) -> dict[str, Estimate]:
    found = statistics.scores_by_task(row for stage in statistics.ACCURACY_STAGES for row in rows.get(stage, ()))
    return {task.partition("/")[2]: statistics.mean(scores) for task, scores in found.items()}


def _measured_costs(entry: Entry) -> tuple[str, ...]:
    """What the static stage found by arithmetic."""
    static = entry.report.result("static")
    if static is None or "index_bytes_per_block" not in static.facts:
        return ()
    facts = static.facts
    return (f"summaries and state {bytes_text(facts['index_bytes_per_block'])} a block",
            f"a row of {length_text(int(facts['context']))} reads {bytes_text(facts['bytes_per_row'])} of dense attention's "
            f"{bytes_text(facts['dense_bytes_per_row'])}", f"{facts['operations_per_row']:,} operations")


def _outcome(entry: Entry, known: Frontier) -> Outcome:
    candidate = entry.candidate
    return Outcome(id=candidate.id, name=candidate.name, parents=candidate.parents, hypothesis=candidate.hypothesis,
                   outcome=why(known, entry).partition(" ")[2])


def _telling(siblings: Iterable[Entry], known: Frontier) -> list[Entry]:
    """Failures and what was beaten first, the latest of each first; then duplicates; then what stands."""
    def rank(entry: Entry) -> int:
        standing = known.find(entry.candidate.id)
        if entry.candidate.status in FAILED:
            return 0
        if standing is not None:
            return 1 if standing.place is Place.BEATEN else 3
        return 2
    return sorted(siblings, key=rank)


def _failures(entries: Iterable[Entry]) -> list[Failure]:
    """By reason, the most frequent first; numbers do not make a reason."""
    reasons: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.candidate.status in FAILED and entry.report.results:
            last = entry.report.results[-1]
            reasons[last.stage, last.code, NUMBER.sub("0", last.message)].append(entry)
    found = [(len(same), same[-1].candidate.id, key, same) for key, same in reasons.items()]
    return [Failure(count=number, stage=stage, code=code, message=same[-1].report.results[-1].message,
                    names=tuple(entry.candidate.name for entry in same[-3:]))
            for number, _, (stage, code, _), same in sorted(found, key=lambda one: one[:2], reverse=True)]


def _remembered(round: Round, entries: Sequence[Entry], notes: Iterable[Note], theme: str) -> dict[str, tuple[str, ...]]:
    """What memory recalls, by kind, in the order in which it matters."""
    earlier = [note for note in notes if int(note.data.get("round", 0)) < round.number]
    recalled = recall(entries, earlier, about_of(round.parents, theme), characters=MOST_REMEMBERED).memos
    kinds: dict[str, list[Memo]] = defaultdict(list)
    for memo in recalled:
        kinds[memo.kind].append(memo)
    return {kind: tuple(memo.text for memo in kinds[kind]) for kind in sorted(kinds, key=_kind_order)}


def _kind_order(kind: str) -> tuple[bool, str]:
    return kind != "steer", kind
