"""A Graph written as text and read again is the same Graph; the text is what a person would write."""
import re

import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.passes import canonical
from vortex.ir import Geometry, Graph
from vortex.language.check import check
from vortex.language.loader import load_flow
from vortex.language.source import to_source
from vortex.language.trace import trace

QUEST = '''"""Quest, written anew."""
from vortex import ops, register, vFlow


@register("quest-2")
class Quest2(vFlow):
    def forward_cache(self, cache):
        cache["hi"] = cache["k"].max(dim=1)
        cache["lo"] = cache["k"].min(dim=1)

    def forward_indexer(self, q, cache):
        score = ops.maximum(q * cache["hi"], q * cache["lo"]).sum(dim=2).max(dim=1)
        return ops.topk(score)
'''
RUNNING = '''"""A memory."""
from vortex import ops, register, vFlow


@register("memory")
class Memory(vFlow):
    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        score = cache.state("score", first=0.0) * 0.5 + q.mean(dim=1) @ cache["centroid"].T
        cache["score"] = score
        return ops.topk(score)
'''


def letters(text: str) -> list[str]:
    return sorted(re.findall(r"\w+", text))


@settings(max_examples=120, deadline=None)
@given(graphs())
def test_reading_what_was_written_gives_the_same_hash(graph: Graph) -> None:
    check(graph)
    text = to_source(graph, name="drawn", doc="Drawn.")
    assert trace(load_flow(text, "drawn.py"), graph.geometry).hash == graph.hash


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_the_canonical_form_is_legal_means_the_same_and_is_stable(graph: Graph) -> None:
    form = canonical(graph)
    check(form)
    assert canonical(form) == form
    assert load(to_source(form, name="drawn", doc="Drawn."), "drawn.py", form.geometry).hash == form.hash


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_json_gives_back_the_graph(graph: Graph) -> None:
    assert Graph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize("name", flows.names())
@pytest.mark.parametrize("group", [1, 4, 5])
def test_built_in_flows_survive_being_written(name: str, group: int) -> None:
    geometry = Geometry(32, 64, group)
    _, text, path = flows.read(name)
    graph = load(text, path, geometry)
    assert load(to_source(graph, name=name, doc="x"), "x.py", geometry).hash == graph.hash


@pytest.mark.parametrize("text", [QUEST, RUNNING], ids=["quest", "running"])
def test_written_text_is_what_a_person_would_write(text: str) -> None:
    from_text = load(text, "x.py", Geometry())
    doc = text.split('"""')[1]
    written = to_source(from_text, name=from_text.name, doc=doc)
    assert load(written, "x.py", Geometry()).hash == from_text.hash
    assert letters(written) == letters(text)      # operands of + and maximum have an order of their own


@pytest.mark.parametrize("doc", ['a "quoted" word', "ends in a quote \"", "back\\slash", "", "π ≈ 3", '"""', "x" * 500])
@pytest.mark.parametrize("name", ["7th heaven", "vFlow", "ops", 'a"b', "sum-of-parts", "-"])
def test_any_name_and_sentence_make_legal_text(name: str, doc: str) -> None:
    graph = load(QUEST, "x.py", Geometry())
    again = load(to_source(graph, name=name, doc=doc), "x.py", Geometry())
    assert (again.hash, again.name) == (graph.hash, name)
