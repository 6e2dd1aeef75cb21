"""A Graph written as text and read again is the same Graph; the text is what a person would write."""
import ast
import re

import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.passes import canonical
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check
from vortex.language.loader import load_flow
from vortex.language.parameters import digest_of
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


CASES = """
return ops.topk(score, k=8) | ops.top_p(score, 0.5)
return ops.topk(score) | (ops.topk(-score, k=2) | ops.threshold(score, -1)) | ops.topk(score)
return ops.topk(score, tolerance=0.25)
both = ops.topk(score, k=8) | ops.topk(-score, k=8); return both | both
return ops.everything()
last = cache.state("seen", first="hi"); cache["seen"] = ops.maximum(last, cache["hi"]); return ops.topk(score)
cache.state("seen", first="hi"); cache["seen"] = cache["hi"] * score; return ops.topk(score)
cache.state("seen", first="rounded"); cache["seen"] = score; return ops.topk(cache["seen_twice"].max(dim=2))
weight = ops.param("w.safetensors", "w"); return ops.topk((weight * score).sum(dim=2) + (weight @ weight.T).exp())
return ops.topk((ops.param("w.safetensors", "w") * q @ cache["hi"].T).max(dim=1))
return ops.topk((ops.param("w.safetensors", "it's \\\\ \\"odd\\"") * q @ cache["hi"].T).max(dim=1))
best = ops.largest(q.mean(dim=1).abs(), 4); return ops.topk((q.take(best, 2) @ cache["hi"].take(best, 2).T).max(dim=1))
return ops.topk((q @ cache["hi"].quantize("fp8").T).max(dim=1) + score.quantize("int4", dim=1))
return ops.topk((q * ops.mask(q, 2, 5, 2, inside=0.5, outside=-1) @ cache["hi"].T).max(dim=1))
return ops.topk(ops.over_group(q @ cache["hi"].T, by="softmax", scale=0.25))
return ops.topk(score.sign() * ops.conv(score, [0.5, 0.25]) + ops.position() / 7)
""".strip().splitlines()
FLOW = '''"""A flow."""
from vortex import ops, register, {base}


@register("case")
class Case({base}):
    def forward_cache(self, cache):
        cache["hi"] = cache["{rows}"].max(dim=1)
        cache["rounded"] = cache["hi"].mean(dim=2)
        cache["seen_twice"] = cache["rounded"] * cache["hi"]

    def forward_indexer(self, q, cache):
        score = (q @ cache["{rows}"].T).max(dim=1).max(dim=2) + cache["seen_twice"].sum(dim=2)
        {lines}
'''
GEOMETRIES = [Geometry(8, 6, 2), Geometry.of_latent(8, 4, 2, 2)]


def parameter(key: str) -> Parameter:
    data = bytes(range(24))
    return Parameter("w.safetensors", key, (1, 6), digest_of((1, 6), data), data)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=["keys", "latent"])
@pytest.mark.parametrize("case", CASES)
def test_every_word_is_written_so_that_it_reads_the_same(case: str, geometry: Geometry) -> None:
    base, rows = ("vFlowMLA", "latent") if geometry.latent else ("vFlow", "k")
    text = FLOW.format(base=base, rows=rows, lines="\n        ".join(case.split("; ")))
    key = re.search(r'ops.param\("w.safetensors", "(.*?)"\) [*@]', case)
    known = [parameter(ast.literal_eval(f'"{key[1]}"') if key else "w")]
    graph = load(text, "case.py", geometry, parameters=known)
    written = to_source(graph, name="case", doc="A flow.")
    again = load(written, "again.py", geometry, parameters=graph.parameters)
    assert (again.hash, again.parameters) == (graph.hash, graph.parameters), written
    assert bool(graph.parameters) == ("ops.param" in case)
    raw = trace(load_flow(text, "case.py", parameters=known), geometry)
    written = to_source(raw, name="case", doc="")
    assert trace(load_flow(written, "again.py", parameters=known), geometry).hash == raw.hash, written


def letters(text: str) -> list[str]:
    return sorted(re.findall(r"\w+", text))


@settings(max_examples=120, deadline=None)
@given(graphs())
def test_reading_what_was_written_gives_the_same_hash(graph: Graph) -> None:
    check(graph)
    text = to_source(graph, name="drawn", doc="Drawn.")
    assert trace(load_flow(text, "drawn.py", parameters=graph.parameters), graph.geometry).hash == graph.hash


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_the_canonical_form_is_legal_means_the_same_and_is_stable(graph: Graph) -> None:
    form = canonical(graph)
    check(form)
    assert canonical(form) == form
    again = load(to_source(form, name="drawn", doc="Drawn."), "drawn.py", form.geometry, parameters=form.parameters)
    assert again.hash == form.hash


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
    again = load(to_source(graph, name=name, doc="x"), "x.py", graph.geometry, parameters=graph.parameters)
    assert again.hash == graph.hash


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
