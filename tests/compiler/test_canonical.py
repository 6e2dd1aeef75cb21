"""Which flows are the same: rewrites keep every number, edits that keep the meaning keep the hash, others do not."""
from collections.abc import Mapping, Sequence
from random import Random

import torch
from hypothesis import HealthCheck, given, settings

from tests.compiler.edits import BEYOND, KINDS, edited
from tests.compiler.flows import random_flow
from tests.compiler.numbers import Numbers, Numerals
from tests.compiler.sameness import near_misses, select_alike, tally
from tests.strategies import graphs
from vortex.compiler.identity.functions import stored
from vortex.compiler.identity.layout import Tensor
from vortex.compiler.identity.read import read
from vortex.compiler.identity.terms import Book, lone_factor
from vortex.compiler.reference import Row, RowScope
from vortex.ir import SELECTION, Graph, Node
from vortex.language.ops.record import find

BLOCKS, BOS = 7, 1
Values = dict[int, Numbers]


def reference_values(nodes: Sequence[Node], scope: RowScope | None, given: Mapping[str, Numbers]) -> Values:
    """Every value [N or 1, rows, cols] in double precision, as the ops' references compute it."""
    out: Values = {}
    for index, node in enumerate(nodes):
        if node.type == SELECTION:
            continue
        if node.op in ("input", "field", "state", "param"):
            out[index] = given[str(node.attr("digest" if node.op == "param" else "name"))]
        elif node.op == "const":
            out[index] = torch.full((1, 1, 1), float(node.attr("value")), dtype=torch.float64)
        else:
            out[index] = find(node.op).evaluate(scope, *(out[a] for a in node.args), **dict(node.attrs)).double()
    return out


def squeezed(x: Numbers) -> Numbers:
    """[N, rows, cols] without axes of size 1."""
    return x.reshape(x.shape[0], *(size for size in x.shape[1:] if size > 1))


def check_side(book: Book, nodes: Sequence[Node], values: Values, named: Mapping[str, Tensor | str], numbers: Numerals,
               ) -> dict[int, Tensor]:
    """Compares each value with that of its normal form; what is not looked into is taken from the reference."""
    read_values = read(book, nodes, range(len(nodes)), named)
    for index, tensor in read_values.items():
        node = nodes[index]
        lone = lone_factor(tensor.body)
        if lone is not None and lone[0] == 1 and lone[1][0].leaf and lone[1][0].kind not in ("number", "mask", "count"):
            numbers.leaves.setdefault(lone[1][0].digest, squeezed(values[index]))
        expected = values[index].expand(len(numbers.middle), -1, -1)
        known = expected.isfinite() & (expected.abs() < 1e6)
        if node.op == "equal":                                       # of infinities the normal form says nothing
            one, other = (values[operand] for operand in node.args)
            known = known & (one - other).isfinite().expand_as(expected)
        if node.op == "greater" or not known.any():
            continue
        found = numbers.tensor(tensor)
        assert found.shape == expected.shape
        torch.testing.assert_close(found[known], expected[known], rtol=1e-4, atol=1e-4, msg=lambda m, n=node: f"{n}: {m}")
    return read_values


def check_values(graph: Graph, seed: int = 0) -> None:
    size, channels, group = graph.geometry.block_size, graph.geometry.head_dim, graph.geometry.group
    random = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(BLOCKS, size, channels, dtype=torch.float64, generator=random) for _ in range(2))
    q = torch.randn(1, group, channels, dtype=torch.float64, generator=random)
    row = Row(q=q[0].float(), k=k.reshape(-1, channels).float(), v=v.reshape(-1, channels).float(), seed=3)
    scope = RowScope(row=row, block_size=size, scored=BLOCKS, bos=BOS)
    given = {"q": q, "k": k, "v": v, "latent": k}
    book = Book()
    cache = reference_values(graph.cache, None, given)
    numbers = Numerals(torch.arange(BLOCKS) >= BOS, {})
    read_cache = check_side(book, graph.cache, cache, {}, numbers)
    named: dict[str, Tensor | str] = {}
    for name, node in graph.writes:
        given[name] = cache[node]
        x = read_cache[node]
        named[name] = Tensor(x.rows, x.cols, stored(book, x.body))
    for f in graph.states:
        given[f.name] = torch.randn(BLOCKS, f.rows, f.cols, dtype=torch.float64, generator=random)
        named[f.name] = f"state {f.name}"
    for parameter in graph.parameters:
        given[parameter.digest] = torch.randn(1, *parameter.shape[-2:], dtype=torch.float64, generator=random)
    values = reference_values(graph.indexer, scope, given)
    check_side(book, graph.indexer, values, named, numbers)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_normal_form_is_worth_what_the_reference_computes(graph: Graph) -> None:
    check_values(graph)


def test_edits_that_keep_the_meaning_keep_the_hash() -> None:
    found = tally(range(100))
    print(found.table())
    assert len(found.tried) >= 50
    assert found.share >= 0.95
    for kind in set(KINDS) - BEYOND:
        assert found.same[kind] >= 0.9 * found.tried[kind], kind


def test_equal_hashes_select_alike_and_most_near_misses_are_told_apart() -> None:
    same = apart = 0
    for kind, graph, other, is_same in near_misses(range(60)):
        same, apart = same + is_same, apart + (not is_same)
        assert not is_same or select_alike(graph, other, range(2)), kind
    assert same >= 50 and apart >= 400


def test_edits_select_alike() -> None:
    for seed in range(0, 60, 5):
        graph = random_flow(seed)
        for kind in KINDS:
            other = edited(graph, kind, Random(seed))
            assert other is None or select_alike(graph, other, [seed]), kind


def test_selections_that_differ_are_told_apart() -> None:
    kinds = [(kind, graph, other) for kind, graph, other, is_same in near_misses(range(25)) if not is_same]
    assert sum(not select_alike(graph, other, [1]) for _, graph, other in kinds) > 0.5 * len(kinds)
