"""Lowers a Graph's two programs to calls of batched torch: each node becomes one call, some patterns become products.

A value has axes [R, H, N, rows, cols]; N is 1 for what is one per row or constant. Products of a row with its blocks
lay the blocks under one another, head by head: the heads of a view of the pool do not lie evenly with its rows.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from vortex.ir import Graph, Lead, Node
from vortex.language.ops.record import Scope, find

Value = torch.Tensor


@dataclass(frozen=True)
class Call:
    """How one node is computed: `function(scope, *values of args)`."""

    args: tuple[int, ...]
    function: Callable[..., Value]


def _row_by_blocks(row: Value, blocks: Value) -> Value:
    """Every row of `row` [R, H, 1, a, K] with every row of `blocks` [R, H, N, b, K]: [R, H, N, a, b]."""
    rows, heads = (max(x, y) for x, y in zip(row.shape[:2], blocks.shape[:2], strict=True))
    count, b = blocks.shape[2:4]
    left = row[:, :, 0].expand(rows, heads, -1, -1)
    right = blocks.flatten(2, 3).expand(rows, heads, -1, -1).transpose(2, 3)
    out = torch.stack([torch.bmm(left[:, h], right[:, h]) for h in range(heads)], dim=1)
    return out.view(rows, heads, -1, count, b).transpose(2, 3)


def _row_times_blocks(scope: Scope, x: Value, y: Value) -> Value:
    """x @ y with x one per row."""
    return _row_by_blocks(x, y.transpose(3, 4))


def _blocks_times_row(scope: Scope, x: Value, y: Value) -> Value:
    """x @ y with y one per row."""
    return _row_by_blocks(y.transpose(3, 4), x).transpose(3, 4)


def _sum_of_products(scope: Scope, row: Value, blocks: Value) -> Value:
    """kron(row, blocks, dim=1).sum(dim=2), which is (row * blocks).sum(dim=2) where one of them has a single row."""
    return _row_by_blocks(row, blocks).flatten(3, 4)[..., None]


def _sum_of_bounds(scope: Scope, row: Value, high: Value, low: Value) -> Value:
    """maximum(row * high, row * low).sum(dim=2) where high >= low: two products, by the sign of the query."""
    return _sum_of_products(scope, row.clamp(min=0), high) + _sum_of_products(scope, row.clamp(max=0), low)


def _weighed_sum_of_bounds(scope: Scope, row: Value, high: Value, low: Value, *, mask: Node) -> Value:
    """The same with every column of the larger product times that of `mask`, which is not negative."""
    weight = torch.full((row.shape[-1],), mask.attr("outside"), device=row.device)
    weight[mask.attr("start"):mask.attr("stop")] = mask.attr("inside")
    return _sum_of_bounds(scope, row * weight, high, low)


def _sum_of_unordered_bounds(scope: Scope, row: Value, one: Value, other: Value) -> Value:
    """The same where neither is known to be the greater."""
    return _sum_of_bounds(scope, row, torch.maximum(one, other), torch.minimum(one, other))


def _is_row(node: Node) -> bool:
    return node.type.lead is Lead.ROW


def _is_block(node: Node) -> bool:
    return node.type.lead is Lead.BLOCK


def _row_and_block(nodes: Sequence[Node], index: int) -> tuple[int, int] | None:
    """The operands of a multiplication whose sum over dim 2 is a product: (one per row, one per block), else None."""
    node = nodes[index]
    if node.op not in ("multiply", "kron") or (node.op == "kron" and node.attr("dim") not in (1, (1,))):
        return None
    row, block = sorted(node.args, key=lambda a: _is_block(nodes[a]))
    x, y = nodes[row], nodes[block]
    # Rows of a kron are in the order of its first operand; where one has a single row, both orders are one.
    in_order = (node.op == "kron" and node.args[0] == row) or 1 in (x.type.rows, y.type.rows)
    return (row, block) if _is_row(x) and _is_block(y) and x.type.cols == y.type.cols and in_order else None


def _reduces_columns(node: Node) -> bool:
    attrs = dict(node.attrs)
    return node.op == "sum" and attrs["dim"] == 2 and attrs.get("every") is None


def _written(graph: Graph, node: Node) -> Node | None:
    """The node of `cache` that a field read in `indexer` was written from."""
    home = dict(graph.writes).get(node.attr("name")) if node.op == "field" else None
    return None if home is None else graph.cache[home]


def _bounds_in_order(graph: Graph, one: Node, other: Node) -> bool | None:
    """True, False: the first, the second field is never the lesser; None: not known."""
    high, low = _written(graph, one), _written(graph, other)
    if high is None or low is None or (high.args, high.attrs) != (low.args, low.attrs):
        return None
    return {("max", "min"): True, ("min", "max"): False}.get((high.op, low.op))


def _lower_bound(graph: Graph, index: int) -> Call | None:
    """`sum` of the larger of two products with one query (Quest's bound), each column perhaps times a mask's."""
    nodes = graph.indexer
    inner, masks = nodes[nodes[index].args[0]], list[Node]()
    multiplied = inner.op == "multiply"
    if multiplied:
        left, right = (nodes[a] for a in inner.args)
        masks = [m for m, x in ((left, right), (right, left)) if _weighs_columns(m, x)][:1]
        inner = right if left in masks else left
    if inner.op != "maximum" or (multiplied and not masks):
        return None
    pairs = [_row_and_block(nodes, a) for a in inner.args]
    if pairs[0] is None or pairs[1] is None or pairs[0][0] != pairs[1][0]:
        return None
    row, one, other = pairs[0][0], pairs[0][1], pairs[1][1]
    if nodes[one].type != nodes[other].type:
        return None
    order = _bounds_in_order(graph, nodes[one], nodes[other])
    if order is None:
        return None if masks else Call((row, one, other), _sum_of_unordered_bounds)
    args = (row, one, other) if order else (row, other, one)
    return Call(args, partial(_weighed_sum_of_bounds, mask=masks[0]) if masks else _sum_of_bounds)


def _weighs_columns(mask: Node, x: Node) -> bool:
    """A mask of the columns of x without a negative number: the larger of two products stays the larger."""
    if mask.op != "mask" or mask.attr("dim") != 2 or min(mask.attr("inside"), mask.attr("outside")) < 0:
        return False
    return mask.type.cols == x.type.cols and mask.type.rows in (1, x.type.rows)


def _lower_sum(graph: Graph, index: int) -> Call | None:
    """`sum` over dim 2 of a product of a row with its blocks."""
    pair = _row_and_block(graph.indexer, graph.indexer[index].args[0])
    return None if pair is None else Call(pair, _sum_of_products)


def _lower_matmul(graph: Graph, index: int) -> Call | None:
    nodes, args = graph.indexer, graph.indexer[index].args
    leads = tuple(nodes[a].type.lead for a in args)
    functions: dict[Any, Callable[..., Value]] = {
        (Lead.ROW, Lead.BLOCK): _row_times_blocks, (Lead.BLOCK, Lead.ROW): _blocks_times_row}
    return Call(args, functions[leads]) if leads in functions else None


def _plain(node: Node) -> Call:
    return Call(node.args, partial(find(node.op).evaluate, **dict(node.attrs)))


def plain(nodes: Sequence[Node]) -> tuple[Call, ...]:
    """Each node as its op's reference computes it."""
    return tuple(_plain(node) for node in nodes)


def lower_indexer(graph: Graph) -> tuple[Call, ...]:
    """One call a node of `indexer`; nodes that a lowered pattern swallowed are no longer read."""
    calls: list[Call] = []
    for index, node in enumerate(graph.indexer):
        found: Call | None = None
        if _reduces_columns(node):
            found = _lower_bound(graph, index) or _lower_sum(graph, index)
        elif node.op == "matmul":
            found = _lower_matmul(graph, index)
        calls.append(found or _plain(node))
    return tuple(calls)


@dataclass(frozen=True)
class Turn:
    """One call's turn: its index, and the values that nobody asks for after it."""

    index: int
    spent: tuple[int, ...]


def schedule(calls: Sequence[Call], roots: Sequence[int]) -> tuple[Turn, ...]:
    """The calls that `roots` are made of, in order; a value is let go after its last use, but for the roots."""
    wanted = set(roots)
    last: dict[int, int] = {}
    for index in range(len(calls) - 1, -1, -1):
        if index in wanted:
            wanted.update(calls[index].args)
            for arg in calls[index].args:
                last.setdefault(arg, index)
    spent: dict[int, list[int]] = {}
    for value, index in last.items():
        if value not in roots:
            spent.setdefault(index, []).append(value)
    return tuple(Turn(index, tuple(sorted(spent.get(index, ())))) for index in sorted(wanted))
