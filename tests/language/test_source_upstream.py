"""What is written in the upstream's spelling reads as the same algorithm; what that cannot say is refused by its word."""
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.errors import UnknownOp
from vortex.ir import Geometry, Graph
from vortex.language.source_upstream import to_upstream

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.py"))
TOKENS = "h2o_token"                      # asks for blocks of one token
UNSAID = {"infllm": "largest", "rocketkv": "divide", "random": "random", "recent": "position",
          "oracle": "mass", "double-sparsity": "a parameter file"}
FLOW = '''from vortex import ops, register, vFlow


@register("case")
class Case(vFlow):
    def forward_cache(self, cache):
        cache["hi"] = {cache}
        cache["mean"] = (cache["hi"] - cache["k"]).mean(dim=1)

    def forward_indexer(self, q, cache):
        score = (q @ cache["hi"].T).max(dim=1) + (q @ cache["mean"].T).mean(dim=1)
        {indexer}
'''
SAID = [
    ('cache["k"].max(dim=1)', "return ops.topk(score * 2 - 1)"),
    ('-cache["k"].min(dim=1)', "return ops.topk(3 - score / 4)"),
    ('cache["k"].mean(dim=1).relu()', "return ops.topk(score.sigmoid() * score.silu())"),
    ('(cache["k"] @ cache["k"].T).max(dim=1).reshape(2, 8).max(dim=1)', "return ops.topk(score, tolerance=0.5)"),
    ('cache["k"].max(dim=1)', "return ops.topk(score, k=3) | ops.topk(-score, k=5)"),
    ('cache["k"].max(dim=1)', "return ops.topk(score, k=3)"),
    ('cache["k"].max(dim=1)', "return ops.topk(score + ops.where(score > cache['hi'].mean(dim=2), 0.0, -1e30))"),
    ('cache["k"].max(dim=1)', "return ops.topk(ops.where(score >= 0.5, score, 0.25))"),
    ('cache["k"].max(dim=1)', "return ops.topk((score - score.mean(dim=0)) * ops.softmax(score) + ops.conv(score, [1, .5]))"),
    ('cache["k"].max(dim=1)', 'cache["s"] = cache.state("s", first="hi") + cache["k"].mean(dim=1); '
                              'return ops.topk(score + cache.state("s", first="hi").sum(dim=2))'),
    ('cache["k"].max(dim=1)', 'cache["s"] = cache.state("s", first=2.5) * 0.5 + score; '
                              'return ops.topk(ops.normalize(cache.state("s", first=2.5)))'),
    ('cache["k"].max(dim=1)', 'cache["s"] = cache["mean"]; cache.state("s", first="mean"); '
                              'return ops.topk(cache["mean"].norm(dim=2))'),
]
REFUSED = [
    ('(cache["k"] @ cache["k"].T @ cache["k"]).max(dim=1)', "return ops.topk(score)", "Transpose in forward_cache"),
    ('cache["k"].sum(dim=1)', "return ops.topk(score)", "Sum in forward_cache"),
    ('cache["k"].mean(dim=1)', "return ops.top_p(score, 0.5)", "ops.top_p"),
    ('cache["k"].mean(dim=1)', "return ops.topk(score) | ops.topk(-score, k=2)", "a union of a list without k"),
    ('cache["k"].mean(dim=1)', "return ops.topk(score, k=2) | ops.topk(-score, k=2) | ops.topk(score * score, k=3)",
     "a union of more than two lists"),
    ('cache["k"].mean(dim=1)', "return ops.topk(ops.maximum(score, 0.5))", "maximum with a number"),
    ('cache["k"].mean(dim=1)', "return ops.topk((score > 0.5) * score)", "greater with a number"),
    ('cache["k"].mean(dim=1)', "return ops.topk(score / 3)", "divide with a number"),
    ('(cache["k"] > cache["k"].mean(dim=1)).mean(dim=1)', "return ops.topk(score)", "the values of greater"),
]


def flow(cache: str, indexer: str) -> Graph:
    text = FLOW.format(cache=cache, indexer="\n        ".join(indexer.split("; ")))
    return load(text, "case.py", Geometry(16, 8, 2))


def reads_the_same(graph: Graph) -> None:
    text = to_upstream(graph, name=graph.name, doc="A flow.")
    assert text == to_upstream(graph, name=graph.name, doc="A flow.")
    assert identity(load(text, "upstream.py", graph.geometry)) == identity(graph), text


@pytest.mark.parametrize("path", [path for path in CORPUS if path.stem != TOKENS], ids=lambda path: path.stem)
def test_flows_of_the_upstream_are_written_as_they_came(path: Path) -> None:
    reads_the_same(load(path.read_text(), str(path), Geometry()))


@pytest.mark.parametrize("name", flows.ALGORITHMS[:9])
@pytest.mark.parametrize("block_size", [16, 32])
def test_the_algorithms_that_the_upstream_knows_are_written_in_its_words(name: str, block_size: int) -> None:
    graph = load(*flows.read(name)[1:], Geometry(block_size, 64, 2))
    if name in UNSAID:
        with pytest.raises(UnknownOp, match=f"the upstream has no word for {UNSAID[name]}"):
            to_upstream(graph, name=name, doc="")
    else:
        reads_the_same(graph)


@pytest.mark.parametrize(("cache", "indexer"), SAID, ids=range(len(SAID)))
def test_what_it_can_say_reads_the_same(cache: str, indexer: str) -> None:
    reads_the_same(flow(cache, indexer))


@pytest.mark.parametrize(("cache", "indexer", "word"), REFUSED, ids=[word for *_, word in REFUSED])
def test_what_it_cannot_say_is_refused_by_its_word(cache: str, indexer: str, word: str) -> None:
    with pytest.raises(UnknownOp, match=f"the upstream has no word for {word}"):
        to_upstream(flow(cache, indexer), name="case", doc="")


@settings(max_examples=250, deadline=None)
@given(graphs())
def test_any_flow_is_written_the_same_or_refused(graph: Graph) -> None:
    try:
        to_upstream(graph, name="drawn", doc="")
    except UnknownOp as refusal:
        assert refusal.message.startswith("the upstream has no word for")
    else:
        reads_the_same(replace(graph, name="drawn"))
