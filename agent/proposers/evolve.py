"""The built-in evolver: mutates and crosses Graphs and turns the campaign's knobs; it needs no model and no key."""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.change import Change, Mutation
from agent.proposers.crossover import crossed
from agent.proposers.heads import HEADS
from agent.proposers.ideas import IDEAS
from agent.proposers.picks import PICKS
from agent.proposers.tweaks import TWEAKS
from vortex.compiler.identity.form import identity
from vortex.compiler.passes import canonical
from vortex.config import OperatingPoint
from vortex.errors import CampaignError, FlowError
from vortex.ir import Graph
from vortex.language.check import check
from vortex.language.source import to_source

MUTATIONS: tuple[tuple[float, Mutation], ...] = (*IDEAS, *PICKS, *HEADS, *TWEAKS)
MOST_NODES = 80
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class EvolveSettings(BaseModel):
    """Shares of proposals by kind; the rest are mutations. `tries` bounds the draws for one proposal that is new."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crossover: Share = 0.2
    turn: Share = 0.15                    # the same flow at another setting of a knob
    seeds: Share = 0.3                    # draws that start from a built-in flow rather than a parent
    tries: Annotated[int, Field(ge=1, le=1000)] = 60


@dataclass(frozen=True)
class Draw:
    """A drawn flow: what it would be if it is new."""

    change: Change
    parents: tuple[Parent, ...]
    point: OperatingPoint
    name: str


def make_evolver(settings: Mapping[str, Any]) -> "Evolver":
    """Raises CampaignError for a setting that it does not take."""
    try:
        return Evolver(EvolveSettings.model_validate(dict(settings)))
    except ValidationError as error:
        first = error.errors()[0]
        raise CampaignError(f"evolve: {first['loc'][0]}: {first['msg'].lower()}",
                            hint=f"Settings of evolve: {', '.join(EvolveSettings.model_fields)}.") from None


@dataclass(frozen=True)
class Evolver:
    """See Proposer. What it proposes is well typed by construction; a draw that does not fit is drawn again."""

    settings: EvolveSettings
    kind: str = "evolve"

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        seen = set(round.known)
        for _ in range(count):
            proposal = None
            for _ in range(self.settings.tries):
                found = self._attempt(round, rng)
                if found is None:
                    continue
                proposal, key = found
                if key not in seen:
                    seen.add(key)
                    break
            if proposal is not None:
                yield proposal

    def _attempt(self, round: Round, rng: Random) -> tuple[Proposal, tuple[str, str]] | None:
        """One draw as a proposal, and the pair that tells whether it is new. None: it did not fit."""
        try:
            drawn = self._draw(round, rng)
            if drawn is None or not _affordable(drawn.change.graph):
                return None
            check(drawn.change.graph)
            source = to_source(drawn.change.graph, name=slug(drawn.name), doc=_doc(drawn))
        except FlowError:
            return None
        proposal = Proposal(name=drawn.name, source=source, point=drawn.point, hypothesis=drawn.change.hypothesis,
                            author=self.kind, parents=tuple(p.id for p in drawn.parents if p.id is not None),
                            parameters=drawn.change.graph.parameters)
        # Of the Graph: the text descends from texts of others, and those are read in the sandbox alone.
        return proposal, (identity(canonical(drawn.change.graph)), drawn.point.hash)

    def _draw(self, round: Round, rng: Random) -> Draw | None:
        parent, roll = self._parent(round, rng), rng.random()
        parents: tuple[Parent, ...] = (parent,)
        if roll < self.settings.turn and round.knobs:
            return _turned(parent, round, rng)
        if roll < self.settings.turn + self.settings.crossover:
            other = self._parent(round, rng)
            change = crossed(parent.graph, other.graph, root_of(other.name), rng)
            parents = (parent, other)
        else:
            mutation = rng.choices([m for _, m in MUTATIONS], [w for w, _ in MUTATIONS])[0]
            change = mutation(parent.graph, rng)
        if change is None:
            return None
        return Draw(change, parents, parent.point, label(parent.name, change.phrase))

    def _parent(self, round: Round, rng: Random) -> Parent:
        pool: Sequence[Parent] = round.parents or round.seeds
        if round.seeds and rng.random() < self.settings.seeds:
            pool = round.seeds
        return rng.choice(pool)


def _turned(parent: Parent, round: Round, rng: Random) -> Draw | None:
    """The parent itself at another value of one knob; a seed that was never judged, at any value."""
    name, values = rng.choice(round.knobs)
    value = rng.choice(values)
    if parent.id is not None and getattr(parent.point, name) == value:
        return None
    change = Change(parent.graph, f"{name} {value}", f"At {name} {value} the same flow may fill a gap of the frontier.")
    return Draw(change, (parent,), parent.point.with_(**{name: value}), parent.name)


def _affordable(graph: Graph) -> bool:
    """Summaries of a block are smaller than its keys, and the flow can still be read."""
    numbers = sum(field.rows * field.cols for field in graph.fields)
    return (numbers < graph.geometry.block_size * graph.geometry.head_dim
            and len(graph.cache) + len(graph.indexer) <= MOST_NODES)


def label(parent: str, phrase: str) -> str:
    """A name people can read: the flow it descends from, and what was done last; `...` stands for more than that."""
    done = parent.split(" + ")[1:]
    return " + ".join([root_of(parent), *(["..."] if len(done) > 1 else done), phrase])


def root_of(name: str) -> str:
    """The built-in flow that a name begins with."""
    return name.split(" + ")[0]


def slug(name: str) -> str:
    """The name as a flow registers it."""
    words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
    return "_".join(words)[:60].rstrip("_")


def _doc(drawn: Draw) -> str:
    return f"{drawn.name[0].upper()}{drawn.name[1:]}. {drawn.change.hypothesis}"
