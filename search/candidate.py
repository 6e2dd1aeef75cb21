"""A Candidate: a flow at an operating point, where it came from, and what became of it."""
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from evaluator.report import Report, Row, Status
from evaluator.statistics import CONFIRM_STAGE
from vortex.compiler.identity.form import identity
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.language.parameters import with_data, without_data

Tier: TypeAlias = Literal["control", "provisional", "confirmed"]
DENSE = "dense"                       # the name of the control that attends to every block
SEALED = "sealed"                     # the last exam's stage
EXAMS = (CONFIRM_STAGE, SEALED)       # stages on problems that the search must not see


@dataclass(frozen=True, kw_only=True)
class FlowRecord:
    """A flow as it is kept: `hash` is the Graph's, or `text-` and a digest of the source where there is no Graph.

    The Graph's JSON leaves out the numbers of its parameters: `contents` holds them by digest.
    """

    hash: str
    name: str
    source: str
    graph_json: str | None = None
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def graph(self) -> Graph | None:
        return None if self.graph_json is None else with_data(Graph.from_json(self.graph_json), self.contents)


def flow_record(name: str, source: str, graph: Graph | None) -> FlowRecord:
    """`graph` is None for the dense control and for a text that is not a legal flow."""
    if graph is None:
        digest = hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
        return FlowRecord(hash=f"text-{digest}", name=name, source=source)
    contents = {parameter.digest: parameter.data for parameter in graph.parameters}
    return FlowRecord(hash=identity(graph), name=name, source=source, graph_json=without_data(graph).to_json(),
                      contents=contents)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a proposer hands over: a candidate before it has an id. `parents` are ids of candidates."""

    campaign: str
    round: int
    slot: int
    name: str
    flow: FlowRecord
    point: OperatingPoint
    author: str
    hypothesis: str = ""
    parents: tuple[int, ...] = ()
    tier: Tier = "provisional"


@dataclass(frozen=True, kw_only=True)
class Candidate(Draft):
    """`status` is None while it is being judged; `created_at` is in seconds since the epoch."""

    id: int
    status: Status | None = None
    duplicate_of: int | None = None
    created_at: float = 0.0

    @property
    def is_dense(self) -> bool:
        return self.tier == "control" and self.name == DENSE


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A candidate with all that was measured of it: what the frontier, the selection and the export read."""

    candidate: Candidate
    report: Report
    rows: tuple[Row, ...] = ()

    @property
    def by_stage(self) -> dict[str, list[Row]]:
        """Rows by stage, in an order that does not depend on when they came."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: (row.stage, row.problem, row.repeat)):
            found[row.stage].append(row)
        return dict(found)


def without_exams(entry: Entry) -> Entry:
    """The entry as the search may know it: who fails an exam has passed all else."""
    candidate, results = entry.candidate, entry.report.results
    if not any(result.stage in EXAMS for result in results):
        return entry
    if candidate.tier != "control":
        candidate = replace(candidate, tier="provisional", status=Status.OK)
    return Entry(candidate=candidate, report=Report(results=tuple(one for one in results if one.stage not in EXAMS)),
                 rows=tuple(row for row in entry.rows if row.stage not in EXAMS))
