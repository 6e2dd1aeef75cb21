"""Pairs of flows that are the same algorithm, pairs that are not, and how long it takes to tell."""
import time

import pytest

from tests.compiler.test_passes import flow
from vortex.compiler.identity.explain import explain
from vortex.compiler.identity.form import identity

MEAN = "cache['c'] = cache['k'].mean(dim=1)"
ENDS = "cache['hi'] = cache['k'].max(dim=1)\ncache['lo'] = cache['k'].min(dim=1)"
PARTS = "cache['p'] = cache['k'].mean(dim=1, every=4)"
SCORE = "s = q.mean(dim=1) @ cache['c'].T\n"
HEADS = "s = q @ cache['c'].T * 0.125\n"
TOPK = "return ops.topk(s)"
STATE = "cache['{0}'] = s\n" + TOPK

SAME = {       # what is the same: (cache, indexer) twice
    "a mean of means": (MEAN, SCORE + TOPK, "cache['c'] = cache['k'].mean(dim=1, every=4).mean(dim=1)", SCORE + TOPK),
    "the mean of the query, or of the scores": (MEAN, SCORE + TOPK, MEAN, HEADS + "return ops.topk(s.mean(dim=1))"),
    "a kron of one row": (
        ENDS, "return ops.topk(ops.maximum(q * cache['hi'], q * cache['lo']).sum(dim=2).max(dim=1))",
        ENDS, "x = ops.maximum(ops.kron(q, cache['lo'], dim=1), ops.kron(cache['hi'], q, dim=1))\n"
              "return ops.topk(x.sum(dim=2).max(dim=1).exp())"),
    "a score centred and normalized": (
        MEAN, SCORE + TOPK, MEAN, SCORE + "return ops.topk(ops.normalize(s - s.mean(dim=0)) * 3.0 + 1.0)"),
    "sums over heads and parts in either order": (
        PARTS, "return ops.topk((q @ cache['p'].T).sum(dim=1).sum(dim=2))",
        PARTS, "return ops.topk((cache['p'] @ q.T).sum(dim=1).sum(dim=2))"),
    "shares of a shifted score": (
        MEAN, HEADS + "return ops.topk(ops.softmax(s).sum(dim=1))",
        MEAN, HEADS + "return ops.topk(ops.softmax(s - s.max(dim=0)).mean(dim=1))"),
    "states by other names": (
        MEAN, SCORE + "s = s + 0.5 * cache.state('a')\n" + STATE.format("a"),
        MEAN, SCORE + "s = 0.5 * cache.state('b') + s\n" + STATE.format("b")),
    "a union either way round": (
        MEAN, SCORE + "return ops.topk(s, k=4) | ops.topk(ops.random(), k=2)",
        MEAN, SCORE + "t = ops.random()\nreturn (ops.topk(t, k=2) | ops.topk(s + 1.0, k=4)) | ops.topk(t, k=2)"),
    "a threshold on the same scale": (
        MEAN, SCORE + "return ops.threshold(s, 0.5)", MEAN, SCORE + "return ops.threshold(s * 4.0, 2.0)"),
    "halves of the channels, joined again": (
        MEAN, SCORE + TOPK,
        MEAN, "c = cache['c']\nx = ops.cat([q[..., 0:32] * c[..., 0:32], q[..., 32:] * c[..., 32:]], dim=2)\n"
              "return ops.topk(x.sum(dim=2).sum(dim=1))"),
}
OTHER = {      # what is not
    "rounding into a field": (
        MEAN, SCORE + TOPK, PARTS, "return ops.topk(q.mean(dim=1) @ cache['p'].mean(dim=1).T)"),
    "stored or computed anew": (
        MEAN, SCORE + TOPK, "pass", "return ops.topk(q.mean(dim=1) @ cache['k'].mean(dim=1).T)"),
    "the largest exponential, or their sum": (
        MEAN, HEADS + "return ops.topk(s.max(dim=1))", MEAN, HEADS + "return ops.topk(s.exp().sum(dim=1))"),
    "a threshold on a score that is shifted": (
        MEAN, SCORE + "return ops.threshold(s, 0.5)", MEAN, SCORE + "return ops.threshold(s + 1.0, 0.5)"),
    "shares that are cut off of a scaled score": (
        MEAN, SCORE + "return ops.top_p(s, 0.5)", MEAN, SCORE + "return ops.top_p(s * 2.0, 0.5)"),
    "a number that swallows the score": (MEAN, SCORE + TOPK, MEAN, SCORE + "return ops.topk(s + 1e30 - 1e30)"),
    "a logarithm of what may be negative": (MEAN, SCORE + TOPK, MEAN, SCORE + "return ops.topk(s.log())"),
    "a row value that may be NaN": (
        MEAN, SCORE + TOPK, MEAN, SCORE + "return ops.topk(s + q.mean(dim=1).mean(dim=2).log())"),
    "a difference that may be infinity less infinity": (
        MEAN, SCORE + TOPK, MEAN, SCORE + "x = s.relu().log()\nreturn ops.topk(s + x - x)"),
    "states that begin elsewhere": (
        MEAN, SCORE + "s = s + cache.state('a', first=1.0)\n" + STATE.format("a"),
        MEAN, SCORE + "s = s + cache.state('a')\n" + STATE.format("a")),
    "how many": (MEAN, SCORE + "return ops.topk(s, k=3)", MEAN, SCORE + TOPK),
    "the other slice": (
        MEAN, "return ops.topk((q[..., 0:8] @ cache['c'][..., 0:8].T).max(dim=1))",
        MEAN, "return ops.topk((q[..., 8:16] @ cache['c'][..., 8:16].T).max(dim=1))"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_algorithm(name: str) -> None:
    bodies = SAME[name]
    one, other = flow(*bodies[:2]), flow(*bodies[2:])
    assert identity(one) == identity(other)
    assert explain(one, other).same


@pytest.mark.parametrize("name", OTHER)
def test_another_algorithm(name: str) -> None:
    bodies = OTHER[name]
    one, other = flow(*bodies[:2]), flow(*bodies[2:])
    assert identity(one) != identity(other)
    assert explain(one, other).difference


def test_laws_are_told_with_their_lines() -> None:
    found = explain(flow(MEAN, SCORE + TOPK), flow(MEAN, SCORE + "s = s - s.mean(dim=0)\n" + TOPK))
    assert found.laws == ({}, {"top-k does not see a row's shift": (11,)})


def test_a_difference_names_what_is_kept() -> None:
    found = explain(flow(MEAN, SCORE + TOPK), flow(PARTS, "return ops.topk((q @ cache['p'].T).max(dim=1).max(dim=2))"))
    assert found.difference == "A keeps a field [1, 64] that B does not; B keeps a field [4, 64] that A does not"


@pytest.mark.parametrize("body", ["s = s * s + u", "s = ops.maximum(s * 0.5, u * s)", "x = (x @ x.T) * 0.1 + x",
                                  "s = s + (x * (i + 1.0)).sigmoid().sum(dim=2).sum(dim=1)", "x = (x + x.T).sigmoid()"])
def test_long_flows_cost_no_power_of_their_length(body: str) -> None:
    start = "u = q.max(dim=1) @ cache['c'].T\ns = u * 0.5\nx = (q * cache['c']) @ (q * cache['c']).T\n"
    graph = flow(MEAN, f"{start}for i in range(40):\n    {body}\nreturn ops.topk(s + x.max(dim=1).max(dim=2))")
    began = time.thread_time()                   # a fraction of a second; without bounds it would be minutes
    identity(graph)
    assert time.thread_time() - began < 5.0
