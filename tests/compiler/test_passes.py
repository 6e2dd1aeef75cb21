"""Canonical form: what means the same is one Graph, and what it computes stays the same."""
import pytest
import torch
from hypothesis import given, settings

from tests.compiler.flows import random_flow
from tests.compiler.sameness import steps
from tests.strategies import graphs
from vortex.compiler.front import load
from vortex.compiler.passes import canonical
from vortex.ir import Geometry, Graph

GEOMETRY = Geometry(block_size=16, head_dim=64, group=2)
HEAD = "from vortex import ops, register, vFlow\n\n\n@register('x')\nclass X(vFlow):\n"


def flow(cache: str, indexer: str) -> Graph:
    lines = ["    def forward_cache(self, cache):", *(f"        {line}" for line in cache.splitlines()),
             "    def forward_indexer(self, q, cache):", *(f"        {line}" for line in indexer.splitlines())]
    return load(HEAD + "\n".join(lines) + "\n", "x.py", GEOMETRY)


MEAN = "cache['c'] = cache['k'].mean(dim=1)"
SCORE = "s = q.mean(dim=1) @ cache['c'].T\n"


@pytest.mark.parametrize(("cache", "indexer"), [
    (MEAN.replace("'c'", "'other'"), SCORE.replace("'c'", "'other'") + "return ops.topk(s + 1.0)"),
    (MEAN, SCORE + "return ops.topk(1.0 + s)"),
    (MEAN, SCORE + "t = s.exp()\nreturn ops.topk(s + 1.0)"),
    (MEAN + "\ncache['unread'] = cache['v'].max(dim=1)", SCORE + "t = cache['unread'].exp()\nreturn ops.topk(s + 1.0)"),
], ids=["a field by another name", "operands the other way round", "a value nobody uses", "a field nobody reads"])
def test_the_same_algorithm_written_otherwise_has_the_same_hash(cache: str, indexer: str) -> None:
    assert flow(cache, indexer).hash == flow(MEAN, SCORE + "return ops.topk(s + 1.0)").hash


@pytest.mark.parametrize("indexer", [
    SCORE + "return ops.topk(s + 2.0)", SCORE + "return ops.topk(1.0 - s)", "return ops.topk(q.max(dim=1) @ cache['c'].T)",
])
def test_another_algorithm_has_another_hash(indexer: str) -> None:
    assert flow(MEAN, indexer).hash != flow(MEAN, SCORE + "return ops.topk(s + 1.0)").hash


def test_equal_values_are_computed_once_and_unread_fields_are_dropped() -> None:
    made = flow(MEAN + "\ncache['u'] = cache['v'].max(dim=1)",
                "u = cache['u']\ns = q.mean(dim=1) @ cache['c'].T\nt = q.mean(dim=1) @ cache['c'].T\nreturn ops.topk(s * t)")
    assert [f.name for f in made.fields] == ["c"]
    assert [n.op for n in made.indexer].count("matmul") == 1


@settings(max_examples=60, deadline=None)
@given(graphs(states=True))
def test_canonical_form_is_reached_in_one_go_and_survives_json(graph: Graph) -> None:
    once = canonical(graph)
    assert canonical(once) == once
    assert Graph.from_json(once.to_json()) == once
    assert Graph.from_json(once.to_json()).hash == once.hash


def test_the_canonical_form_selects_the_same_blocks() -> None:
    for seed in range(40):
        graph = random_flow(seed)
        for (blocks, score), (again, same_score) in zip(steps(graph, seed), steps(canonical(graph), seed), strict=True):
            assert blocks == again
            torch.testing.assert_close(score, same_score, equal_nan=True)
