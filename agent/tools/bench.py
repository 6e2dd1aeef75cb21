"""The Bench: what tools may see of one campaign, as plain values; no tool ever holds the archive, a file or a key."""
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

from agent.claims import Claim
from agent.cli.text import columns
from agent.fences import blocks
from agent.untrusted import load_untrusted
from search.candidate import DENSE, Candidate, Entry, FlowRecord
from vortex import flows
from vortex.config import OperatingPoint
from vortex.errors import FlowNotFound, PointError, VortexError
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.calls import nearest

NUMBER = re.compile(r"#?\s*(\d{1,9})")
MOST_SOURCE = 40_000


class ToolError(VortexError):
    """A tool asked for something that it does not give."""


class Line(Protocol):
    """An entry of the notebook, as far as tools tell of it."""

    @property
    def kind(self) -> str: ...

    @property
    def text(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A text and what it is called; `parameters` are the constants that it may ask for."""

    name: str
    source: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A flow that a conversation hands in, legal and new; `name` is for people, `point` the campaign's, perhaps turned."""

    flow: Flow
    graph: Graph
    hash: str
    point: OperatingPoint
    claim: Claim
    parents: tuple[int, ...] = ()


Submit: TypeAlias = Callable[[Submission], str]
# (text, path, parameters) as a flow's record, and why it is none; it evaluates the text in the sandbox.
Load: TypeAlias = Callable[[str, str, Sequence[Parameter]], tuple[FlowRecord, VortexError | None]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """`entries` gives what tools may know of; `write_question` is None where the notebook is only read, `submit` where
    nothing is handed in. `about` is what `read` tells of the campaign."""

    campaign: str
    about: str
    point: OperatingPoint
    knobs: tuple[tuple[str, tuple[Any, ...]], ...]
    geometry: Geometry
    load: Load
    entries: Callable[[], Sequence[Entry]]
    notes: Callable[[], Sequence[Line]] = tuple
    write_question: Callable[[str], None] | None = None
    drafts: dict[str, Flow] = field(default_factory=dict)             # of this conversation, by name
    submit: Submit | None = None

    def candidate(self, number: int) -> Entry:
        """Raises ToolError for a number that is not of this campaign."""
        entries = self.entries()
        found = next((one for one in entries if one.candidate.id == number), None)
        if found is None:
            latest = ", ".join(str(one.candidate.id) for one in entries[-8:]) or "none yet"
            raise ToolError(f"there is no candidate {number} in {self.campaign}", hint=f"The latest are: {latest}.")
        return found

    def flow(self, named: str) -> Flow:
        """A text itself (more than one line), a draft, a candidate's number, or the name of a built-in flow.

        Files are out of reach. Raises ToolError or FlowNotFound.
        """
        if "\n" in named.strip():
            if len(named) > MOST_SOURCE:
                raise ToolError(f"the text is longer than {MOST_SOURCE:,} characters", hint="A flow is a page at most.")
            within = blocks(named) if named.lstrip().startswith(("```", "~~~")) else []
            return Flow(name="flow", source=within[0].text if within else named)
        name = named.strip()
        if name in self.drafts:
            return self.drafts[name]
        if number := NUMBER.fullmatch(name):
            return _of(self.candidate(int(number[1])).candidate)
        short = flows.aliases().get(name, name.replace("_", "-"))
        if short not in flows.names():
            near = nearest(name, [*self.drafts, *flows.names()])
            raise FlowNotFound(f"there is no flow {name[:80]!r}", hint=f"{near} Or give a candidate's number, or a text.")
        return Flow(name=short, source=flows.read(short)[1])

    def legal(self, flow: Flow) -> tuple[str, Graph]:
        """Hash and Graph, found in a limited child process. Raises FlowError or ChildFailure."""
        record, refusal = self.load(flow.source, f"<{flow.name}>", flow.parameters)
        if refusal is not None:
            raise refusal
        assert record.graph is not None
        return record.hash, record.graph

    def turned(self, knobs: Mapping[str, Any]) -> OperatingPoint:
        """The campaign's point with knobs at other values of theirs. Raises PointError: no other setting is to be had."""
        allowed = dict(self.knobs)
        for name, value in knobs.items():
            given = tuple(value) if isinstance(value, list) else value
            if name not in allowed or given not in allowed[name]:
                offer = "; ".join(f"{knob}: {', '.join(map(str, values))}" for knob, values in allowed.items())
                raise PointError(f"{name} cannot be set to {value!r} here",
                                 hint=f"Knobs of this campaign: {offer}." if offer else "This campaign has no knobs.")
        return self.point.with_(**{name: tuple(v) if isinstance(v, list) else v for name, v in knobs.items()})


def loader(geometry: Geometry) -> Load:
    """Loads texts for `geometry`, each in a child process of its own."""
    return partial(_load, geometry)


def _load(geometry: Geometry, text: str, path: str, parameters: Sequence[Parameter]) -> tuple[FlowRecord, VortexError | None]:
    return load_untrusted(path, text, geometry, parameters)


def about(name: str, goal: str, point: OperatingPoint, knobs: Sequence[tuple[str, Sequence[Any]]],
          stages: Sequence[Mapping[str, Any]]) -> str:
    """Goal, point, knobs and stages of a campaign, as `read` tells of them."""
    settings = ", ".join(f"{key} {value}" for key, value in point.model_dump(mode="json").items() if value not in ([], 0, None))
    turned = "; ".join(f"{knob}: {', '.join(map(str, values))}" for knob, values in knobs) or "none"
    told = [("stage", " ".join((stage["name"], *(f"{k}={v}" for k, v in stage.items() if k != "name")))) for stage in stages]
    return columns([("campaign", name), ("goal", goal or "-"), ("point", settings), ("knobs", turned), *told])


def _of(candidate: Candidate) -> Flow:
    if candidate.is_dense:
        raise ToolError(f"candidate {candidate.id} is {DENSE} attention, not a flow")
    graph = candidate.flow.graph
    return Flow(name=candidate.name, source=candidate.flow.source, parameters=graph.parameters if graph else ())
