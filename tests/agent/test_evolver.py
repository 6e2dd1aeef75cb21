"""The evolver: what it proposes is legal, readable, mostly new, and a function of the round and the rng."""
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.change import Mutation
from agent.proposers.evolve import MUTATIONS, label
from agent.proposers.registry import make_proposer
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.compiler.passes import canonical
from vortex.config import OperatingPoint
from vortex.errors import FlowError
from vortex.ir import Geometry, Graph
from vortex.language.check import check
from vortex.language.source import to_source

PROBE = Geometry(block_size=16, head_dim=64, group=2)
GEOMETRIES = (PROBE, Geometry(16, 128, 4), Geometry(32, 64, 1))
KNOBS = (("topk_ratio", (0.0625, 0.125, 0.25)),)


def seeds(geometry: Geometry = PROBE) -> tuple[Parent, ...]:
    return tuple(Parent(name=name, graph=load(flows.read(name)[1], name, geometry), point=OperatingPoint())
                 for name in flows.ALGORITHMS)


def told(number: int, parents: tuple[Parent, ...] = (), known: frozenset[tuple[str, str]] = frozenset(),
         geometry: Geometry = PROBE) -> Round:
    return Round(number=number, parents=parents, seeds=seeds(geometry), geometry=geometry, point=OperatingPoint(),
                 knobs=KNOBS, known=known)


def generations(geometry: Geometry, rounds: int, count: int) -> Iterator[tuple[Proposal, Graph]]:
    """Proposals of several rounds, each round's being the parents of the next."""
    evolver, known, parents = make_proposer("evolve", {}), frozenset[tuple[str, str]](), ()
    number = 0
    for turn in range(1, rounds + 1):
        found = []
        for proposal in evolver.propose(told(turn, parents, known, geometry), Random(f"1/{turn}"), count):
            graph = load(proposal.source, proposal.name, geometry)
            yield proposal, graph
            number += 1
            known |= {(identity(graph), proposal.point.hash)}
            found.append(Parent(id=number, name=proposal.name, graph=graph, point=proposal.point))
        parents = tuple(found)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_hundreds_of_proposals_are_legal_and_distinct_at_every_geometry(geometry: Geometry) -> None:
    found = list(generations(geometry, rounds=10, count=12))
    for _, graph in found:
        check(graph)
    assert len(found) >= 115
    pairs = {(identity(graph), proposal.point.hash) for proposal, graph in found}
    assert len(pairs) >= 0.98 * len(found)


def test_a_proposal_is_readable_and_says_why_it_might_be_better() -> None:
    for proposal, graph in generations(PROBE, rounds=4, count=8):
        assert proposal.source.startswith('"""') and "@register(" in proposal.source
        assert proposal.hypothesis.endswith(".") and len(proposal.hypothesis.split()) >= 6
        assert len(proposal.name) <= 100
        assert proposal.author == "evolve"
        assert len(graph.name) <= 64


def test_the_same_round_and_seed_give_the_same_proposals() -> None:
    evolver = make_proposer("evolve", {})
    first = list(evolver.propose(told(3), Random("7/3"), 8))
    assert first == list(evolver.propose(told(3), Random("7/3"), 8))
    assert first != list(evolver.propose(told(3), Random("8/3"), 8))


def test_texts_of_draws_are_read_by_nobody_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws descend from what somebody else wrote: the sandbox alone evaluates their texts."""
    def read(*args: object) -> None:
        raise AssertionError(f"a text was read in place: {args}")

    round = told(3)
    monkeypatch.setattr("vortex.compiler.front.load_flow", read)
    assert len(list(make_proposer("evolve", {}).propose(round, Random("7/3"), 8))) == 8


def test_what_is_known_is_not_proposed_again() -> None:
    evolver = make_proposer("evolve", {})
    first = {(identity(load(p.source, p.name, PROBE)), p.point.hash) for p in evolver.propose(told(1), Random("7/1"), 12)}
    again = {(identity(load(p.source, p.name, PROBE)), p.point.hash)
             for p in evolver.propose(told(1, known=frozenset(first)), Random("7/1"), 12)}
    assert not first & again


def test_a_knob_is_turned_to_the_values_of_the_campaign_only() -> None:
    ratios = {proposal.point.topk_ratio for proposal, _ in generations(PROBE, rounds=6, count=10)}
    assert ratios == {0.0625, 0.125, 0.25}


@pytest.mark.parametrize("mutation", [mutation for _, mutation in MUTATIONS], ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_some_flow_into_another_legal_one(mutation: Mutation) -> None:
    changed = 0
    for turn, seed in ((turn, seed) for turn in range(6) for seed in seeds()):
        try:
            change = mutation(seed.graph, Random(turn))
        except FlowError:
            continue
        if change is not None:
            check(change.graph)
            changed += identity(change.graph) != identity(seed.graph)
    assert changed


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(range(len(MUTATIONS))), st.sampled_from(range(len(flows.ALGORITHMS))))
def test_the_text_of_a_mutation_has_the_hash_of_its_graph(seed: int, mutation: int, flow: int) -> None:
    try:
        change = MUTATIONS[mutation][1](seeds()[flow].graph, Random(seed))
    except FlowError:
        return
    if change is not None:
        text = to_source(change.graph, name="mutant", doc="A mutant.")
        assert load(text, "mutant", PROBE).hash == canonical(change.graph).hash


@pytest.mark.parametrize(("parent", "phrase", "name"), [
    ("quest", "value energy", "quest + value energy"),
    ("quest + value energy", "memory 0.5", "quest + value energy + memory 0.5"),
    ("quest + value energy + memory 0.5", "even heads", "quest + ... + even heads"),
    ("quest + ... + even heads", "key spread", "quest + ... + key spread"),
])
def test_names_say_where_a_flow_comes_from_and_what_was_done_last(parent: str, phrase: str, name: str) -> None:
    assert label(parent, phrase) == name
