"""Graphs from anywhere: legal ones pass, and each rule refuses what breaks it."""
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import flows
from vortex.compiler.front import load
from vortex.errors import GraphError
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.check import RULES, check

QUEST = load(flows.read("quest")[1], "quest.py", Geometry())
MEMORY = load(flows.read("running-average")[1], "memory.py", Geometry())


def with_node(graph: Graph, index: int, **changes: object) -> Graph:
    nodes = [replace(n, **changes) if i == index else n for i, n in enumerate(graph.indexer)]  # type: ignore[arg-type]
    return replace(graph, indexer=tuple(nodes))


def index_of(graph: Graph, op: str) -> int:
    return next(i for i, n in enumerate(graph.indexer) if n.op == op)


def with_more(graph: Graph, *nodes: Node) -> Graph:
    return replace(graph, indexer=(*graph.indexer, *nodes))


BROKEN: list[tuple[str, Callable[[], Graph]]] = [
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(0, 128, 4))),
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(16, 128, 10**6))),
    ("programs are not too long", lambda: replace(QUEST, cache=QUEST.cache * 4000)),
    ("fields have names of their own", lambda: replace(QUEST, fields=(Field("k", 1, 1),))),
    ("fields have names of their own", lambda: replace(QUEST, fields=(*QUEST.fields, QUEST.fields[0]))),
    ("fields have names of their own", lambda: replace(QUEST, fields=(Field("a b", 1, 1),))),
    ("ops are used as they are meant", lambda: with_node(QUEST, index_of(QUEST, "maximum"), op="meximum")),
    ("ops are used as they are meant", lambda: with_node(QUEST, index_of(QUEST, "maximum"), op="stored", args=(0,))),
    ("ops are used as they are meant", lambda: with_node(QUEST, index_of(QUEST, "maximum"), args=(0,))),
    ("ops are used as they are meant", lambda: with_node(QUEST, index_of(QUEST, "maximum"), attrs=(("x", 1),))),
    ("ops are used as they are meant", lambda: with_node(QUEST, index_of(QUEST, "max"), attrs=(("dim", 1), ("dam", 1)))),
    ("ops are used as they are meant", lambda: with_more(
        QUEST, Node("const", (), (("value", 1.0),), Type(Lead.CONST, 1, 1)),
        Node("exp", (len(QUEST.indexer),), (), Type(Lead.CONST, 1, 1)))),
    ("types are what the ops make", lambda: with_node(QUEST, index_of(QUEST, "maximum"), type=Type(Lead.ROW, 4, 128))),
    ("types are what the ops make", lambda: with_node(QUEST, index_of(QUEST, "max"), attrs=(("dim", 7),))),
    ("types are what the ops make", lambda: with_node(QUEST, index_of(QUEST, "field"), attrs=(("name", "nothing"),))),
    ("types are what the ops make", lambda: replace(QUEST, geometry=Geometry(16, 64, 4))),
    ("reads are of fields that exist", lambda: with_node(MEMORY, index_of(MEMORY, "state"), op="field")),
    ("fields are written once", lambda: replace(QUEST, writes=QUEST.writes[:1])),
    ("fields are written once", lambda: replace(QUEST, writes=(*QUEST.writes, QUEST.writes[0]))),
    ("fields are written once", lambda: replace(QUEST, writes=(*QUEST.writes, ("more", 1)))),
    ("fields are written once", lambda: replace(QUEST, writes=((QUEST.writes[0][0], 0), *QUEST.writes[1:]))),
    ("fields are written once", lambda: replace(MEMORY, saves=())),
    ("fields are written once", lambda: replace(QUEST, fields=(*QUEST.fields, Field("s", 1, 1, FieldKind.STATE)))),
    ("selection ends the indexer", lambda: replace(QUEST, selection=0)),
    ("selection ends the indexer", lambda: with_more(QUEST, Node("everything", (), (), SELECTION))),
]


@pytest.mark.parametrize(("rule", "broken"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_graph_is_refused_by_its_rule(rule: str, broken: Callable[[], Graph]) -> None:
    with pytest.raises(GraphError) as refusal:
        check(broken())
    assert refusal.value.hint == f"Rule: {rule}."


def test_every_rule_has_a_graph_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN} == {rule.__name__.replace("_", " ") for rule in RULES}


def test_a_problem_is_told_with_its_node_and_line() -> None:
    broken = with_node(QUEST, index_of(QUEST, "maximum"), op="meximum")
    with pytest.raises(GraphError, match=r"quest: node 5 of forward_indexer \(meximum, line 12\): there is no op 'meximum'"):
        check(broken)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', QUEST.to_json()[:-5],
                                  QUEST.to_json().replace('"format":1', '"format":9')])
def test_text_that_is_no_graph_is_refused(text: str) -> None:
    with pytest.raises(GraphError):
        Graph.from_json(text)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_drawn_graphs_are_legal(graph: Graph) -> None:
    check(graph)
