"""Ways to write the same flow otherwise, and near misses that mean something else; each edits a Graph at one place.

The list stands before the rewrites it is held against: some kinds are meant to be beyond them.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from vortex.errors import FlowError
from vortex.ir import Field, FieldKind, Graph, Lead, Node, Type
from vortex.language.ops.record import OPS, Side

LARGEST = 4096


class Draft:
    """A program being written anew: `put` appends a node, `put_number` a constant."""

    def __init__(self, graph: Graph, side: Side = Side.INDEXER) -> None:
        self.geometry = graph.geometry
        self.side = side
        self.nodes: list[Node] = []

    def put(self, op: str, *args: int, **attrs: Any) -> int:
        """Raises FlowError where the op does not fit."""
        if self.side not in OPS[op].sides:
            raise FlowError(f"{op} is not used in {self.side}")
        type_ = OPS[op].infer([self.nodes[a].type for a in args], attrs, self.geometry)
        if type_.rows * type_.cols > LARGEST:
            raise FlowError("too large for a test")
        self.nodes.append(Node(op, args, tuple(sorted(attrs.items())), type_))
        return len(self.nodes) - 1

    def number(self, value: float) -> int:
        return self.put("const", value=value)

    def type(self, index: int) -> Type:
        return self.nodes[index].type


@dataclass(frozen=True)
class Site:
    """The node to be written otherwise; `args` are its operands in the draft."""

    node: Node
    args: tuple[int, ...]
    copy: int                     # the node itself, written as it was; dead where the edit does not use it
    random: Random

    def attr(self, name: str) -> Any:
        return dict(self.node.attrs).get(name)


Rule = Callable[[Draft, Site], int | None]
WRITTEN: dict[str, tuple[frozenset[str], Rule]] = {}      # edits of one node, by name: (ops they apply to, rule)


def edit(name: str, *ops: str) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        WRITTEN[name] = (frozenset(ops), rule)
        return rule
    return enter


def _rewritten(graph: Graph, side: str, at: int, rule: Rule, random: Random) -> Graph | None:
    nodes = graph.cache if side == "cache" else graph.indexer
    draft = Draft(graph, Side.CACHE if side == "cache" else Side.INDEXER)
    place: dict[int, int] = {}
    for index, node in enumerate(nodes):
        args = tuple(place[a] for a in node.args)
        draft.nodes.append(replace(node, args=args))
        copy = place[index] = len(draft.nodes) - 1
        if index == at:
            try:
                made = rule(draft, Site(node, args, copy, random))
            except FlowError:
                return None
            if made is None or draft.type(made) != node.type:
                return None
            place[index] = made
    writes = graph.writes if side == "cache" else graph.saves
    moved = tuple((name, place[node]) for name, node in writes)
    if side == "cache":
        return replace(graph, cache=tuple(draft.nodes), writes=moved)
    return replace(graph, indexer=tuple(draft.nodes), saves=moved, selection=place[graph.selection])


def _live(nodes: Sequence[Node], roots: Sequence[int]) -> list[int]:
    wanted = set(roots)
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
    return sorted(wanted)


def apply(graph: Graph, ops: frozenset[str], rule: Rule, random: Random) -> Graph | None:
    """`graph` with `rule` applied at one live place that takes it; None where no place does."""
    read = {n.attr("name") for n in graph.indexer if n.op in ("field", "state")}
    sites = [("indexer", i) for i in _live(graph.indexer, [graph.selection, *(n for _, n in graph.saves)])]
    sites += [("cache", i) for i in _live(graph.cache, [n for name, n in graph.writes if name in read])]
    random.shuffle(sites)
    for side, at in sites:
        node = (graph.cache if side == "cache" else graph.indexer)[at]
        if node.op in ops or ("any" in ops and node.type.lead is not Lead.LIST and node.op != "const"):
            made = _rewritten(graph, side, at, rule, random)
            if made is not None:
                return made
    return None


# ---- arithmetic

@edit("operands swapped", "add", "multiply", "maximum", "minimum")
def _(d: Draft, s: Site) -> int | None:
    return d.put(s.node.op, s.args[1], s.args[0])


@edit("sum regrouped", "add", "multiply", "maximum")
def _(d: Draft, s: Site) -> int | None:
    inner = d.nodes[s.args[0]]
    if inner.op != s.node.op:
        return None
    return d.put(s.node.op, inner.args[0], d.put(s.node.op, inner.args[1], s.args[1]))


@edit("difference as a sum with the negative", "subtract")
def _(d: Draft, s: Site) -> int | None:
    return None if d.nodes[s.args[1]].op == "const" else d.put("add", s.args[0], d.put("negate", s.args[1]))


@edit("quotient as a product with the reciprocal", "divide")
def _(d: Draft, s: Site) -> int | None:
    below = d.nodes[s.args[1]]
    if below.op == "const":
        value = below.attr("value")
        return d.put("multiply", s.args[0], d.number(1 / value)) if abs(value) > 0.01 else None
    return None if d.nodes[s.args[0]].op == "const" else d.put("multiply", s.args[0], d.put("divide", d.number(1.0), s.args[1]))


@edit("negated twice", "any")
def _(d: Draft, s: Site) -> int | None:
    return d.put("negate", d.put("negate", s.copy))


@edit("times one, plus zero", "any")
def _(d: Draft, s: Site) -> int | None:
    return d.put("add", d.put("multiply", s.copy, d.number(1.0)), d.number(0.0))


@edit("scaled up and down again", "any")
def _(d: Draft, s: Site) -> int | None:
    factor = s.random.choice([0.25, 3.0, 10.0])
    return d.put("divide", d.put("multiply", s.copy, d.number(factor)), d.number(factor))


@edit("a product distributed over a sum", "multiply", "matmul")
def _(d: Draft, s: Site) -> int | None:
    inner = d.nodes[s.args[0]]
    if inner.op not in ("add", "subtract") or "const" in (d.nodes[a].op for a in (*inner.args, *s.args)):
        return None
    parts = [d.put(s.node.op, a, s.args[1]) for a in inner.args]
    if any(d.type(p) != s.node.type for p in parts):
        return None
    return d.put(inner.op, *parts)


@edit("scale moved through a linear reduction", "mean", "sum", "mean_over_blocks", "sum_over_blocks", "matmul")
def _(d: Draft, s: Site) -> int | None:
    scaled = d.put("multiply", s.args[0], d.number(4.0))
    return d.put("multiply", d.put(s.node.op, scaled, *s.args[1:], **dict(s.node.attrs)), d.number(0.25))


# ---- products

@edit("product as a sum of products", "matmul")
def _(d: Draft, s: Site) -> int | None:
    if d.type(s.args[0]).rows != 1:
        return None
    turned = d.put("transpose", s.args[1])
    return d.put("transpose", d.put("sum", d.put("multiply", s.args[0], turned), dim=2))


@edit("product turned over", "matmul")
def _(d: Draft, s: Site) -> int | None:
    return d.put("transpose", d.put("matmul", d.put("transpose", s.args[1]), d.put("transpose", s.args[0])))


@edit("mean or sum moved into a product", "mean", "sum")
def _(d: Draft, s: Site) -> int | None:
    inner = d.nodes[s.args[0]]
    if inner.op != "matmul" or s.attr("every"):
        return None
    x, y = inner.args
    if s.attr("dim") == 1:
        return d.put("matmul", d.put(s.node.op, x, dim=1), y)
    return d.put("matmul", x, d.put(s.node.op, y, dim=2))


@edit("product of one row as a kron", "multiply")
def _(d: Draft, s: Site) -> int | None:
    if d.type(s.args[0]).rows != 1 or "const" in (d.nodes[a].op for a in s.args):
        return None
    return d.put("kron", s.args[0], s.args[1], dim=1)


# ---- reductions

@edit("mean as a sum over the size", "mean")
def _(d: Draft, s: Site) -> int | None:
    size = s.attr("every") or d.type(s.args[0]).shape[s.attr("dim") - 1]
    return d.put("divide", d.put("sum", s.args[0], **dict(s.node.attrs)), d.number(float(size)))


@edit("largest as the negative of the smallest negative", "max", "min", "max_over_blocks", "min_over_blocks")
def _(d: Draft, s: Site) -> int | None:
    other = s.node.op.replace("max", "?").replace("min", "max").replace("?", "min")
    return d.put("negate", d.put(other, d.put("negate", s.args[0]), **dict(s.node.attrs)))


@edit("reduction in two stages", "mean", "sum", "max", "min", "norm", "logsumexp")
def _(d: Draft, s: Site) -> int | None:
    size = d.type(s.args[0]).shape[s.attr("dim") - 1]
    parts = [n for n in range(2, size) if size % n == 0]
    if s.attr("every") or not parts:
        return None
    dim = s.attr("dim")
    return d.put(s.node.op, d.put(s.node.op, s.args[0], dim=dim, every=s.random.choice(parts)), dim=dim)


@edit("plain reduction as one group", "mean", "sum", "max", "min", "norm", "logsumexp")
def _(d: Draft, s: Site) -> int | None:
    dim = s.attr("dim")
    return None if s.attr("every") else d.put(s.node.op, s.args[0], dim=dim, every=d.type(s.args[0]).shape[dim - 1])


@edit("groups of one", "any")
def _(d: Draft, s: Site) -> int | None:
    return d.put(s.random.choice(["mean", "sum", "max", "min"]), s.copy, dim=s.random.choice([1, 2]), every=1)


@edit("length written out", "norm", "norm_over_blocks")
def _(d: Draft, s: Site) -> int | None:
    square = d.put("multiply", s.args[0], s.args[0])
    return d.put("sqrt", d.put(s.node.op.replace("norm", "sum"), square, **dict(s.node.attrs)))


@edit("log-sum-exp written out", "logsumexp")
def _(d: Draft, s: Site) -> int | None:
    return d.put("log", d.put("sum", d.put("exp", s.args[0]), **dict(s.node.attrs)))


@edit("a row value moved through a maximum", "max", "min", "logsumexp", "maximum", "minimum")
def _(d: Draft, s: Site) -> int | None:
    queries = [i for i, n in enumerate(d.nodes) if n.op == "input"]
    if not queries:
        return None
    shift = d.put("mean", d.put("mean", queries[0], dim=1), dim=2)
    moved = [d.put("add", a, shift) for a in s.args]
    return d.put("subtract", d.put(s.node.op, *moved, **dict(s.node.attrs)), shift)


# ---- functions

@edit("relu as a maximum", "relu")
def _(d: Draft, s: Site) -> int | None:
    return d.put("maximum", s.args[0], d.number(0.0))


@edit("magnitude as a maximum", "abs")
def _(d: Draft, s: Site) -> int | None:
    return d.put("maximum", s.args[0], d.put("negate", s.args[0]))


@edit("magnitude as the root of the square", "abs")
def _(d: Draft, s: Site) -> int | None:
    return d.put("sqrt", d.put("multiply", s.args[0], s.args[0]))


@edit("silu written out", "silu")
def _(d: Draft, s: Site) -> int | None:
    return d.put("multiply", s.args[0], d.put("sigmoid", s.args[0]))


@edit("sigmoid written out", "sigmoid")
def _(d: Draft, s: Site) -> int | None:
    below = d.put("add", d.put("exp", d.put("negate", s.args[0])), d.number(1.0))
    return d.put("divide", d.number(1.0), below)


@edit("sigmoid mirrored", "sigmoid")
def _(d: Draft, s: Site) -> int | None:
    return d.put("subtract", d.number(1.0), d.put("sigmoid", d.put("negate", s.args[0])))


@edit("exponential as a product of two", "exp")
def _(d: Draft, s: Site) -> int | None:
    half = d.put("exp", d.put("multiply", s.args[0], d.number(0.5)))
    return d.put("multiply", half, half)


@edit("maximum as the negative of a minimum", "maximum", "minimum")
def _(d: Draft, s: Site) -> int | None:
    if "const" in (d.nodes[a].op for a in s.args):
        return None
    other = {"maximum": "minimum", "minimum": "maximum"}[s.node.op]
    return d.put("negate", d.put(other, *(d.put("negate", a) for a in s.args)))


@edit("maximum by way of the minimum", "maximum")
def _(d: Draft, s: Site) -> int | None:
    return d.put("subtract", d.put("add", *s.args), d.put("minimum", *s.args))


@edit("maximum as a choice", "maximum")
def _(d: Draft, s: Site) -> int | None:
    if "const" in (d.nodes[a].op for a in s.args):
        return None
    return d.put("where", d.put("greater", *s.args), *s.args)


@edit("comparison turned round", "greater", "less", "greater_equal", "less_equal")
def _(d: Draft, s: Site) -> int | None:
    if d.nodes[s.args[1]].op == "const":
        return None
    turned = {"greater": "less", "less": "greater", "greater_equal": "less_equal", "less_equal": "greater_equal"}
    return d.put(turned[s.node.op], s.args[1], s.args[0])


@edit("choice turned round", "where")
def _(d: Draft, s: Site) -> int | None:
    condition = d.nodes[s.args[0]]
    turned = {"greater": "less_equal", "less": "greater_equal", "equal": "not_equal", "not_equal": "equal"}
    if condition.op not in turned:
        return None
    return d.put("where", d.put(turned[condition.op], *condition.args), s.args[2], s.args[1])


# ---- layout

@edit("transposed twice", "any")
def _(d: Draft, s: Site) -> int | None:
    return d.put("transpose", d.put("transpose", s.copy))


@edit("reshaped and back", "any")
def _(d: Draft, s: Site) -> int | None:
    rows, cols = s.node.type.shape
    return d.put("reshape", d.put("reshape", s.copy, rows=rows * cols, cols=1), rows=rows, cols=cols)


@edit("cut in two and joined", "any")
def _(d: Draft, s: Site) -> int | None:
    dim = s.random.choice([1, 2])
    size = s.node.type.shape[dim - 1]
    if size < 2:
        return None
    cut = s.random.randrange(1, size)
    parts = [d.put("slice", s.copy, dim=dim, start=0, stop=cut), d.put("slice", s.copy, dim=dim, start=cut, stop=size)]
    return d.put("cat", *parts, dim=dim)


@edit("a slice of a slice", "slice")
def _(d: Draft, s: Site) -> int | None:
    dim, start, stop = s.attr("dim"), s.attr("start"), s.attr("stop")
    if stop - start < 1 or start < 1 or stop >= d.type(s.args[0]).shape[dim - 1]:
        return None
    return d.put("slice", d.put("slice", s.args[0], dim=dim, start=0, stop=stop), dim=dim, start=start, stop=stop)


@edit("a slice as a gather", "slice")
def _(d: Draft, s: Site) -> int | None:
    return d.put("gather", s.args[0], dim=s.attr("dim"), indices=tuple(range(s.attr("start"), s.attr("stop"))))


@edit("every index gathered", "any")
def _(d: Draft, s: Site) -> int | None:
    dim = s.random.choice([1, 2])
    return d.put("gather", s.copy, dim=dim, indices=tuple(range(s.node.type.shape[dim - 1])))


# ---- what the selection cannot see

def before_topk(write: Callable[[Draft, int, Random], int]) -> Rule:
    def rule(d: Draft, s: Site) -> int | None:
        return d.put("topk", write(d, s.args[0], s.random), **dict(s.node.attrs))
    return rule


WRITTEN |= {
    "a constant added to the score": (frozenset({"topk"}), before_topk(lambda d, x, r: d.put("add", x, d.number(1.5)))),
    "the score scaled": (frozenset({"topk"}), before_topk(lambda d, x, r: d.put("multiply", x, d.number(r.choice([0.5, 3.0]))))),
    "a row value added to the score": (frozenset({"topk"}), before_topk(
        lambda d, x, r: d.put("subtract", x, d.put("max_over_blocks", x)))),
    "the score through an exponential": (frozenset({"topk"}), before_topk(
        lambda d, x, r: d.put("exp", d.put("multiply", x, d.number(0.01))))),
    "the score through a sigmoid": (frozenset({"topk"}), before_topk(
        lambda d, x, r: d.put("sigmoid", d.put("multiply", x, d.number(0.01))))),
    "the score as shares": (frozenset({"topk"}), before_topk(lambda d, x, r: d.put("softmax", x, scale=0.01))),
    "the score normalized": (frozenset({"topk"}), before_topk(lambda d, x, r: d.put("normalize", x))),
    "the score centred": (frozenset({"topk"}), before_topk(
        lambda d, x, r: d.put("subtract", x, d.put("mean_over_blocks", x)))),
    "the score over a positive row value": (frozenset({"topk"}), before_topk(
        lambda d, x, r: d.put("divide", x, d.put("add", d.put("norm_over_blocks", x), d.number(1.0))))),
}


@edit("a monotone function through the last maximum", "topk")
def _(d: Draft, s: Site) -> int | None:
    last = d.nodes[s.args[0]]
    if last.op != "max":
        return None
    inner = d.put(s.random.choice(["exp", "sigmoid"]), d.put("multiply", last.args[0], d.number(0.01)))
    return d.put("topk", d.put("max", inner, **dict(last.attrs)), **dict(s.node.attrs))


@edit("shares of a shifted value", "softmax")
def _(d: Draft, s: Site) -> int | None:
    return d.put("softmax", d.put("subtract", s.args[0], d.put("mean_over_blocks", s.args[0])), **dict(s.node.attrs))


@edit("the scale of shares written before", "softmax")
def _(d: Draft, s: Site) -> int | None:
    scale = s.attr("scale")
    return d.put("softmax", d.put("multiply", s.args[0], d.number(scale)), scale=1.0) if abs(scale) > 0.01 else None


# ---- the whole Graph

def _renamed(graph: Graph, random: Random) -> Graph | None:
    names = {f.name: f"{f.name}_{random.randrange(10)}" for f in graph.fields}

    def node(n: Node) -> Node:
        return replace(n, attrs=tuple((k, names.get(v, v) if k == "name" else v) for k, v in n.attrs))

    fields = [replace(f, name=names[f.name], first=names.get(f.first, f.first) if isinstance(f.first, str) else f.first)
              for f in graph.fields]
    random.shuffle(fields)
    return replace(graph, name="other", fields=tuple(fields), indexer=tuple(map(node, graph.indexer)),
                   writes=tuple((names[n], i) for n, i in reversed(graph.writes)),
                   saves=tuple((names[n], i) for n, i in reversed(graph.saves))) if names else None


def _with_dead_value(graph: Graph, random: Random) -> Graph | None:
    tensors = [i for i, n in enumerate(graph.indexer) if n.type.lead in (Lead.BLOCK, Lead.ROW)]
    extra = Node("exp", (random.choice(tensors),), (), graph.indexer[tensors[0]].type)
    extra = replace(extra, type=graph.indexer[extra.args[0]].type)
    return replace(graph, indexer=(*graph.indexer, extra))


def _with_unread_field(graph: Graph, random: Random) -> Graph | None:
    sources = [i for i, n in enumerate(graph.cache) if n.type.lead is Lead.BLOCK]
    if not sources:
        return None
    node = random.choice(sources)
    return replace(graph, fields=(*graph.fields, Field("unread", *graph.cache[node].type.shape)),
                   writes=(*graph.writes, ("unread", node)))


def _with_twin_field(graph: Graph, random: Random) -> Graph | None:
    """A summary is written twice, and the first read of it is from the twin; later ones are from the first."""
    read = [n.attr("name") for n in graph.indexer if n.op == "field"]
    names = [name for name, _ in graph.writes if name in read]
    if not names:
        return None
    name = random.choice(names)
    node, field = dict(graph.writes)[name], graph.field(name)
    at = next(i for i, n in enumerate(graph.indexer) if n.op == "field" and n.attr("name") == name)
    indexer = list(graph.indexer)
    indexer[at] = replace(indexer[at], attrs=(("name", "twin"),))
    return replace(graph, fields=(*graph.fields, replace(field, name="twin")), writes=(*graph.writes, ("twin", node)),
                   indexer=tuple(indexer))


def _with_unread_state(graph: Graph, random: Random) -> Graph | None:
    """A state that counts steps and that no score is made of."""
    draft = Draft(graph)
    draft.nodes = list(graph.indexer)
    draft.nodes.append(Node("state", (), (("name", "steps"),), Type(Lead.BLOCK, 1, 1)))
    after = draft.put("add", len(draft.nodes) - 1, draft.number(1.0))
    return replace(graph, fields=(*graph.fields, Field("steps", 1, 1, FieldKind.STATE)), indexer=tuple(draft.nodes),
                   saves=(*graph.saves, ("steps", after)))


def _stored_negated(graph: Graph, random: Random) -> Graph | None:
    """A summary is kept as its negative and negated where it is read."""
    names = [name for name, _ in graph.writes]
    if not names:
        return None
    name = random.choice(names)
    cache = Draft(graph, Side.CACHE)
    cache.nodes = list(graph.cache)
    negative = cache.put("negate", dict(graph.writes)[name])
    made: Graph | None = replace(graph, cache=tuple(cache.nodes),
                                 writes=tuple((n, negative if n == name else i) for n, i in graph.writes))
    reads = [i for i, n in enumerate(graph.indexer) if n.op == "field" and n.attr("name") == name]
    for at in reversed(reads):
        assert made is not None
        made = _rewritten(made, "indexer", at, lambda d, s: d.put("negate", s.copy), random)
    return made if not any(isinstance(f.first, str) and f.first == name for f in graph.fields) else None


WHOLE: dict[str, Callable[[Graph, Random], Graph | None]] = {
    "fields renamed": _renamed, "a value nobody uses": _with_dead_value, "a field nobody reads": _with_unread_field,
    "a summary written twice": _with_twin_field, "a state nobody reads": _with_unread_state,
    "a summary kept as its negative": _stored_negated,
}
BEYOND = frozenset({"log-sum-exp written out", "maximum by way of the minimum", "choice turned round", "sigmoid mirrored",
                    "exponential as a product of two"})
KINDS = (*WRITTEN, *WHOLE)


def edited(graph: Graph, kind: str, random: Random) -> Graph | None:
    """`graph` written otherwise in the way of `kind`; None where it offers no place for that."""
    if kind in WHOLE:
        return WHOLE[kind](graph, random)
    ops, rule = WRITTEN[kind]
    return apply(graph, ops, rule, random)


# ---- near misses: each may change which blocks are taken

def _swap(d: Draft, s: Site) -> int | None:
    return None if "const" in (d.nodes[a].op for a in s.args) else d.put(s.node.op, *reversed(s.args))


def _other(table: dict[str, str]) -> tuple[frozenset[str], Rule]:
    return frozenset(table), lambda d, s: d.put(table[s.node.op], *s.args, **dict(s.node.attrs))


NEAR_MISSES: dict[str, tuple[frozenset[str], Rule]] = {
    "operands of a difference swapped": (frozenset({"subtract", "divide"}), _swap),
    "another reduction": _other({"mean": "max", "max": "min", "min": "mean", "sum": "norm", "norm": "sum",
                                 "logsumexp": "max", "max_over_blocks": "mean_over_blocks"}),
    "another function": _other({"exp": "sigmoid", "sigmoid": "exp", "relu": "abs", "abs": "relu", "silu": "relu",
                                "maximum": "minimum", "minimum": "maximum", "sqrt": "log", "log": "sqrt"}),
    "another comparison": _other({"greater": "less", "less": "greater", "equal": "not_equal", "not_equal": "equal",
                                  "greater_equal": "less", "less_equal": "greater"}),
    "the other axis": (frozenset({"mean", "max", "min", "sum"}), lambda d, s: d.put(
        s.node.op, s.args[0], dim=3 - s.attr("dim")) if d.type(s.args[0]).rows == d.type(s.args[0]).cols else None),
    "a sign changed": (frozenset({"any"}), lambda d, s: d.put("negate", s.copy)),
    "a constant changed": (frozenset({"const"}), lambda d, s: d.number(s.attr("value") + 0.5)),
    "the magnitude taken": (frozenset({"any"}), lambda d, s: d.put("abs", s.copy)),
    "squared": (frozenset({"any"}), lambda d, s: d.put("multiply", s.copy, s.copy)),
    "through an exponential": (frozenset({"any"}), lambda d, s: d.put("exp", d.put("multiply", s.copy, d.number(0.25)))),
    "shifted": (frozenset({"any"}), lambda d, s: d.put("add", s.copy, d.number(0.75))),
    "scaled": (frozenset({"any"}), lambda d, s: d.put("multiply", s.copy, d.number(1.75))),
    "sum for a mean over groups": (frozenset({"mean"}), lambda d, s: d.put("sum", s.args[0], **dict(s.node.attrs))),
    "one slice over": (frozenset({"slice"}), lambda d, s: d.put(
        "slice", s.args[0], dim=s.attr("dim"), start=s.attr("start") - 1, stop=s.attr("stop") - 1)),
    "reversed": (frozenset({"any"}), lambda d, s: d.put(
        "gather", s.copy, dim=2, indices=tuple(reversed(range(s.node.type.cols))))),
    "shares for scores": (frozenset({"any"}), lambda d, s: d.put("softmax", s.copy, scale=1.0)
                          if s.node.type.lead is Lead.BLOCK and s.node.op != "topk" else None),
}


def missed(graph: Graph, kind: str, random: Random) -> Graph | None:
    """`graph` with a near miss of `kind`."""
    ops, rule = NEAR_MISSES[kind]
    return apply(graph, ops, rule, random)
