"""The contract of a proposer: what it is told about a round, and what it hands back."""
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from agent.claims import Claim
from evaluator.report import Report
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Geometry, Graph, Parameter

if TYPE_CHECKING:                     # a campaign file is read without what asking a model takes
    from agent.desk import Desk


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A flow to start from. `id` is its candidate's number; a seed that was not judged has none and no report."""

    name: str
    graph: Graph
    point: OperatingPoint
    id: int | None = None
    report: Report | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a proposer may know: rows of finished rounds only, so that a round interrupted is proposed again the same.

    `known` holds (Graph hash, point hash) of what was tried; `seeds` are built-in flows; `desk` is there for proposers
    that ask a model.
    """

    number: int
    parents: tuple[Parent, ...]
    seeds: tuple[Parent, ...]
    geometry: Geometry
    point: OperatingPoint
    knobs: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    known: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    desk: "Desk | None" = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A flow as text at a point. `parents` are numbers of candidates; `parameters` those that the text asks for.

    `claim` is what `hypothesis` says, in a form that measurement can answer. `refusal`: why the text is no flow, where
    the proposer knows better than the loader would tell.
    """

    name: str
    source: str
    point: OperatingPoint
    hypothesis: str
    author: str
    parents: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    claim: Claim | None = None
    refusal: VortexError | None = field(default=None, compare=False)


class Proposer(Protocol):
    """`rng` is the only source of chance: the same round and the same rng give the same proposals."""

    @property
    def kind(self) -> str: ...

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        """At most `count` proposals; fewer when it runs out of ideas.

        A proposer that asks a model yields what it has before it raises CallError.
        """
