"""Graphs from anywhere: legal ones pass, and each rule refuses what breaks it."""
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import flows
from vortex.compiler.front import load
from vortex.errors import GraphError
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Parameter, Type
from vortex.language.check import RULES, check
from vortex.language.parameters import digest_of

QUEST = load(flows.read("quest")[1], "quest.py", Geometry())
MEMORY = load(flows.read("running-average")[1], "memory.py", Geometry())


LATENT = replace(QUEST, geometry=Geometry.of_latent())


def parameter(shape: tuple[int, ...] = (1, 128), file: str = "w.safetensors", key: str = "w") -> Parameter:
    data = bytes(4 * math.prod(shape))
    return Parameter(file, key, shape, digest_of(shape, data), data)


def param_node(of: Parameter, rows: int = 1) -> Node:
    return Node("param", (), (("cols", 128), ("digest", of.digest), ("rows", rows)), Type(Lead.CONST, rows, 128))


def with_parameter(*parameters: Parameter, node: Node | None = None) -> Graph:
    """Quest, whose query is weighed by a parameter."""
    weight = node or param_node(parameters[0])
    nodes = [weight, *(replace(n, args=tuple(a + 1 for a in n.args)) for n in QUEST.indexer)]
    at = nodes.index(next(n for n in nodes if n.op == "input"))
    return replace(QUEST, indexer=(*nodes, Node("multiply", (0, at), (), nodes[at].type)), selection=QUEST.selection + 1,
                   parameters=parameters)


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
    ("selection ends the indexer", lambda: with_more(
        QUEST, Node("union", (QUEST.selection, QUEST.selection), (), SELECTION))),
    ("types are what the ops make", lambda: with_more(QUEST, Node("topk", (QUEST.selection,), (), SELECTION))),
    ("types are what the ops make", lambda: with_more(QUEST, Node("union", (QUEST.selection, 0), (), SELECTION))),
    ("selection ends the indexer", lambda: with_more(QUEST, Node("exp", (QUEST.selection,), (), SELECTION))),
    ("types are what the ops make", lambda: replace(QUEST, indexer=(*QUEST.indexer[:-1], replace(
        QUEST.indexer[-1], attrs=(("k", 0),))))),
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(16, 128, 4, 100, 27))),
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(16, 128, 4, 0, 128))),
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(16, 128, 4, -1, 129))),
    ("geometry is possible", lambda: replace(QUEST, geometry=Geometry(True, 128, 4))),
    ("types are what the ops make", lambda: LATENT),
    ("fields have names of their own", lambda: replace(QUEST, fields=(*QUEST.fields, Field("latent", 1, 1)))),
    ("ops are used as they are meant", lambda: with_more(QUEST, Node("declared", (), (), Type(Lead.CONST, 1, 1)))),
    ("states have a beginning", lambda: begun("nothing")),
    ("states have a beginning", lambda: begun("score")),
    ("states have a beginning", lambda: begun(MEMORY.summaries[0].name)),
    ("states have a beginning", lambda: begun(math.nan)),
    ("states have a beginning", lambda: begun(math.inf)),
    ("states have a beginning", lambda: replace(QUEST, fields=(replace(QUEST.fields[0], first="hi"), QUEST.fields[1]))),
    ("parameters are there", lambda: with_parameter(node=param_node(parameter()))),
    ("parameters are there", lambda: with_parameter(parameter(), node=param_node(parameter((4, 128)), 4))),
    ("parameters are there", lambda: with_parameter(parameter(), node=param_node(parameter(), 4))),
    ("types are what the ops make", lambda: with_parameter(node=replace(
        param_node(parameter()), attrs=(("cols", 128), ("digest", "../x"), ("rows", 1))))),
    *(("parameters are what they are said to be", lambda made=made: with_parameter(*made)) for made in (
        (parameter(), parameter()),
        (parameter(), parameter((2, 128))),
        (parameter(), parameter((2, 128), file="../w.safetensors")),
        (parameter(), parameter((2, 128), file="flow.py")),
        (parameter(), parameter((2, 128), key="")),
        (parameter(), parameter((128,), key="x")),
        (replace(parameter(), digest="0" * 32),),
        (replace(parameter(), data=b"\0" * 4, digest=digest_of((1, 128), b"\0" * 4)),),
        tuple(replace(parameter((n, 1024, 1024), key=str(n)), data=b"") for n in (4, 5)),
    )),
]


def begun(first: float | str) -> Graph:
    fields = [replace(f, first=first) if f.kind is FieldKind.STATE else f for f in MEMORY.fields]
    return replace(MEMORY, fields=tuple(fields))


@pytest.mark.parametrize(("rule", "broken"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_graph_is_refused_by_its_rule(rule: str, broken: Callable[[], Graph]) -> None:
    with pytest.raises(GraphError) as refusal:
        check(broken())
    assert refusal.value.hint == f"Rule: {rule}."


def test_every_rule_has_a_graph_that_breaks_it() -> None:
    assert {rule for rule, _ in BROKEN} == {rule.__name__.replace("_", " ") for rule in RULES}


LEGAL: list[Callable[[], Graph]] = [
    lambda: with_parameter(parameter()), lambda: with_parameter(replace(parameter(), data=b"")),
    lambda: with_parameter(parameter(), parameter((2, 128), file="other.safetensors")),
    lambda: with_parameter(parameter((3, 1, 128))), lambda: with_parameter(parameter((3, 2, 1, 128))),
    lambda: load('"""X."""\nfrom vortex import ops, register, vFlow\n\n@register("x")\nclass X(vFlow):\n'
                 '    def forward_indexer(self, q, cache):\n        s = (q @ cache["k"].T).max(dim=1).max(dim=2)\n'
                 '        return ops.topk(s, k=3) | ops.top_p(s, 0.5) | ops.threshold(-s, 1)\n', "x.py", Geometry()),
]


@pytest.mark.parametrize("legal", LEGAL, ids=range(len(LEGAL)))
def test_what_the_language_says_is_legal(legal: Callable[[], Graph]) -> None:
    check(legal())
    again = Graph.from_json(legal().to_json())
    assert again == legal() and again.parameters == legal().parameters


def test_a_problem_is_told_with_its_node_and_line() -> None:
    broken = with_node(QUEST, index_of(QUEST, "maximum"), op="meximum")
    with pytest.raises(GraphError, match=r"quest: node 5 of forward_indexer \(meximum, line 12\): there is no op 'meximum'"):
        check(broken)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', QUEST.to_json()[:-5],
                                  QUEST.to_json().replace('"format":1', '"format":9'), "[" * 100_000,
                                  QUEST.to_json().replace('{"name":"k"}', '"k"'),
                                  QUEST.to_json().replace('"block",1,128', '"block",1,1e999')])
def test_text_that_is_no_graph_is_refused(text: str) -> None:
    with pytest.raises(GraphError):
        Graph.from_json(text)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_drawn_graphs_are_legal(graph: Graph) -> None:
    check(graph)
