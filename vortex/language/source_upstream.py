"""Graph to flow text in the public upstream's spelling, where that can say it: op objects, made first and called later."""
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vortex.errors import UnknownOp
from vortex.ir import Graph, Node
from vortex.language.ops.record import Side
from vortex.language.source import class_name, docstring, live_nodes, quoted, with_what_is_read

NEVER = -1e30
FLIPPED = "alpha=0.0, beta=-1.0"
SAME = {"add": ("Add", ""), "subtract": ("Add", "alpha=1.0, beta=-1.0"), "multiply": ("Multiply", ""),
        "maximum": ("Maximum", ""), "minimum": ("Minimum", ""), "negate": ("Add_Mul", FLIPPED), "abs": ("Abs", ""),
        "exp": ("Exp", ""), "log": ("Log", ""), "relu": ("Relu", ""), "sigmoid": ("Sigmoid", FLIPPED),
        "silu": ("Silu", FLIPPED), "transpose": ("Transpose", ""), "normalize": ("Normalize", "")}
REDUCTIONS = {"mean": "Mean", "max": "Max", "min": "Min", "norm": "L2Norm", "sum": "Sum"}
GATES = {"equal": "WhereEqual", "not_equal": "WhereNotEqual", "greater": "WhereGreater", "less": "WhereLess",
         "greater_equal": "WhereGreaterEqual", "less_equal": "WhereLessEqual"}
INDEXER_ONLY = ("Sum", "Transpose", "Normalize", "Softmax", "Conv1d", "Kron")
OVER_BLOCKS = "_over_blocks"
LOADED_FIRST = ("softmax", "normalize", "conv", *(f"{name}{OVER_BLOCKS}" for name in REDUCTIONS))


def to_upstream(graph: Graph, *, name: str, doc: str) -> str:
    """The text of a flow that registers `name`, with one op object for every call. Raises UnknownOp for what the
    upstream has no word for."""
    graph = with_what_is_read(graph)
    objects = Objects()
    cache = CacheSpeller(graph, objects).body()
    indexer = IndexerSpeller(graph, objects).body()
    base, sizes = ("vFlowMLA", "kv_lora_rank, qk_rope_head_dim") if graph.geometry.latent else ("vFlow", "head_dim")
    fields = [f'            "{name}": ({rows}, {cols}),' for name, (rows, cols) in _kept(graph).items()]
    declared = ["        return {", *fields, "        }"] if fields else ["        return {}"]
    return "\n".join([
        f'"""{docstring(doc)}"""', *objects.imports(base), "", "", f"@register({quoted(name)})",
        f"class {class_name(name)}({base}):", "    def __init__(self):", "        super().__init__()", *objects.made, "",
        f"    def create_cache(self, block_size, {sizes}):", *declared, "",
        "    def forward_cache(self, cache, loc, ctx):", *(cache or ["        pass"]), "",
        "    def forward_indexer(self, q, o, cache, ctx):", *indexer, ""])


def _kept(graph: Graph) -> dict[str, tuple[int, int]]:
    """Fields of the upstream's: a summary that only a state begins at is that state's own field."""
    own = _only_beginnings(graph)
    return {f.name: (f.rows, f.cols) for f in graph.fields if f.name not in own}


def _only_beginnings(graph: Graph) -> set[str]:
    read = {node.attr("name") for node in graph.indexer if node.op == "field"}
    return {f.first for f in graph.states if isinstance(f.first, str)} - read


def _word(what: str) -> UnknownOp:
    return UnknownOp(f"the upstream has no word for {what}")


class Objects:
    """The op objects of a flow: `made` holds the statements that make them."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._names = Counter[str]()
        self._classes: dict[Side, set[str]] = {side: set() for side in Side}

    def make(self, side: Side, kind: str, params: str = "") -> str:
        """A new object; gives its name."""
        if side is Side.CACHE and kind in INDEXER_ONLY:
            raise _word(f"{kind} in {side}")
        self._classes[side].add(kind)
        stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower().replace("ge_mm", "gemm")
        self._names[stem] += 1
        name = f"{stem}_{self._names[stem]}"
        self.made.append(f"        self.{name} = {'C' if side is Side.CACHE else ''}{kind}({params})")
        return name

    def imports(self, base: str) -> list[str]:
        lines = []
        if self._classes[Side.CACHE]:
            names = ", ".join(f"{kind} as C{kind}" for kind in sorted(self._classes[Side.CACHE]))
            lines.append(f"from vortex_torch.cache import {names}")
        names = ", ".join(sorted(self._classes[Side.INDEXER]))
        return [*lines, f"from vortex_torch.flow import register, {base}", f"from vortex_torch.indexer import {names}"]


class Speller:
    """What both sides share: op nodes as calls of op objects, each result under a name of its own."""

    side: Side

    def __init__(self, graph: Graph, nodes: Sequence[Node], objects: Objects) -> None:
        self.graph = graph
        self.nodes = nodes
        self.objects = objects
        self.lines: list[str] = []
        self.texts: dict[int, str] = {}

    def call(self, kind: str, params: str, operands: Sequence[str]) -> str:
        raise NotImplementedError

    def assigned(self, kind: str, params: str, operands: Sequence[str]) -> str:
        """A call whose result gets a name."""
        text = self.call(kind, params, operands)
        name = text.removeprefix("self.").partition("(")[0]
        self.lines.append(f"        {name} = {text}")
        return name

    def text(self, index: int) -> str:
        """A value that was computed, a field or the query. Raises UnknownOp for what stands for no tensor there."""
        if index not in self.texts:
            node = self.nodes[index]
            if node.op == "transpose":
                raise _word(f"Transpose in {self.side}")
            if node.op not in ("input", "field", "state"):
                raise _word("a number as an operand" if node.op == "const" else f"the values of {node.op}")
            self.texts[index] = "q" if node.op == "input" else f'cache["{node.attr("name")}"]'
        return self.texts[index]

    def loaded(self, index: int) -> str:
        """The same, and no field as it lies in the pool."""
        text = self.text(index)
        return self.assigned("Load", "", [text]) if text.startswith("cache[") else text

    def spelled(self, index: int) -> tuple[str, str, list[int]]:
        """Class, parameters and operands of the op object that computes a node; ~i is the transpose of i.

        Raises UnknownOp.
        """
        node = self.nodes[index]
        numbers = [self.nodes[a].attr("value") if self.nodes[a].op == "const" else None for a in node.args]
        if node.op == "where":
            return self._gate(node, numbers)
        if any(number is not None for number in numbers):
            return _with_number(node, numbers)
        if node.op in SAME:
            return (*SAME[node.op], list(node.args))
        if node.op == "matmul":
            return "GeMM", "", self._product(node)
        return (*_with_attrs(node, self.side), list(node.args))

    def _product(self, node: Node) -> list[int]:
        """x @ y is GeMM(y.T, x)."""
        x, y = node.args
        return [self.nodes[y].args[0] if self.nodes[y].op == "transpose" else ~y, x]

    def operands(self, index: int, args: Sequence[int]) -> list[str]:
        """The texts of what a node's op object is called with."""
        read = self.loaded if self.nodes[index].op in LOADED_FIRST else self.text
        return [read(a) if a >= 0 else self.assigned("Transpose", "", [self.text(~a)]) for a in args]

    def _gate(self, node: Node, numbers: Sequence[float | None]) -> tuple[str, str, list[int]]:
        """0 where a relation holds and -1e30 elsewhere; or x where it is at least a number, and another elsewhere."""
        relation = self.nodes[node.args[0]]
        if relation.op in GATES and numbers[1:] == [0.0, NEVER]:
            return GATES[relation.op], "", list(relation.args)
        if relation.op == "greater_equal" and self.nodes[relation.args[1]].op == "const" and numbers[2] is not None \
                and relation.args[0] == node.args[1]:
            alpha = self.nodes[relation.args[1]].attr("value")
            return "Relu", f"alpha={alpha!r}, beta={numbers[2]!r}", [node.args[1]]
        raise _word("ops.where of these values")


def _with_number(node: Node, numbers: Sequence[float | None]) -> tuple[str, str, list[int]]:
    """beta * x + alpha."""
    at, value = next((i, number) for i, number in enumerate(numbers) if number is not None)
    alpha, beta = 0.0, 1.0
    if node.op == "add":
        alpha = value
    elif node.op == "subtract":
        alpha, beta = (-value, 1.0) if at else (value, -1.0)
    elif node.op == "multiply":
        beta = value
    elif node.op == "divide" and at and abs(math.frexp(value)[0]) == 0.5:
        beta = 1 / value
    else:
        raise _word(f"{node.op} with a number")
    return "Add_Mul", f"alpha={alpha + 0.0!r}, beta={beta!r}", [node.args[1 - at]]


def _with_attrs(node: Node, side: Side) -> tuple[str, str]:
    """Class and parameters of an op object whose operands are those of the node. Raises UnknownOp."""
    attrs: dict[str, Any] = dict(node.attrs)
    name = node.op.removesuffix(OVER_BLOCKS)
    if name in REDUCTIONS and attrs.get("every") is None:
        return REDUCTIONS[name], f"dim={attrs.get('dim', 0)}"
    if name in REDUCTIONS and name != "sum" and side is Side.CACHE:
        return f"{REDUCTIONS[name]}Interleave", f"dim={attrs['dim']}, k={attrs['every']}"
    if name == "softmax":
        return "Softmax", f"dim=0, scale={attrs['scale']!r}"
    if name == "conv":
        taps = [_table(tap, node.type.rows, node.type.cols) for tap in attrs["taps"]]
        return "Conv1d", f"{taps}, dim=0"
    if name == "reshape":
        return "Reshape", f"-1, {attrs['rows']}, {attrs['cols']}"
    if name == "kron":
        return "Kron", f"dim={attrs['dim']}"
    if name == "mask":
        sizes = f"{attrs['start']}, {attrs['stop']}, dim={attrs['dim']}"
        return "MaskSlice", f"{sizes}, alpha={attrs['inside']!r}, beta={attrs['outside']!r}"
    raise _word("a parameter file" if name == "param" else f"{node.op} in {side}" if name in REDUCTIONS else node.op)


def _table(tap: float | tuple[tuple[float, ...], ...], rows: int, cols: int) -> list[list[float]]:
    return [list(row) for row in tap] if isinstance(tap, tuple) else [[tap] * cols for _ in range(rows)]


class CacheSpeller(Speller):
    """forward_cache: an op puts its result into a field, or leaves it as a value."""

    side = Side.CACHE

    def __init__(self, graph: Graph, objects: Objects) -> None:
        super().__init__(graph, graph.cache, objects)
        own, written = _only_beginnings(graph), dict(graph.writes)
        self.fields: dict[int, list[str]] = {}
        begun = [(f.name, written[f.first]) for f in graph.states if isinstance(f.first, str)]
        for name, node in [*((name, node) for name, node in graph.writes if name not in own), *begun]:
            self.fields.setdefault(node, []).append(name)

    def call(self, kind: str, params: str, operands: Sequence[str], output: str = "None") -> str:
        return f"self.{self.objects.make(self.side, kind, params)}({', '.join([*operands, output])}, loc=loc, ctx=ctx)"

    def body(self) -> list[str]:
        live = live_nodes(self.nodes, self.fields)
        unrounded = Counter(a for i in live if self.nodes[i].op != "stored" for a in self.spelled_args(i))
        for index in live:
            self._statement(index, direct=not unrounded[index])
        for field in self.graph.states:
            if not isinstance(field.first, str):
                fill = self.objects.make(self.side, "Fill", f"alpha={field.first!r}")
                self.lines.append(f'        self.{fill}(cache["{field.name}"], loc=loc, ctx=ctx)')
        return self.lines

    def spelled_args(self, index: int) -> Sequence[int]:
        """The values that computing a node reads; none where it computes nothing by itself."""
        node = self.nodes[index]
        if node.op in ("field", "const", "transpose", *GATES):
            return ()
        return [max(a, ~a) for a in self.spelled(index)[2]]

    def _statement(self, index: int, *, direct: bool) -> None:
        node, fields = self.nodes[index], [f'cache["{name}"]' for name in self.fields.get(index, ())]
        if node.op == "stored":
            self.texts[index] = f'cache["{self.fields[node.args[0]][0]}"]'
        elif node.op in ("transpose", *GATES) and fields:
            self.text(index)
        elif node.op not in ("field", "const", "transpose", *GATES):
            kind, params, args = self.spelled(index)
            operands = self.operands(index, args)
            if direct and fields:
                self.lines.append(f"        {self.call(kind, params, operands, fields.pop(0))}")
            else:
                self.texts[index] = self.assigned(kind, params, operands)
        for field in fields:
            value = self.texts.get(index) or (self.text(index) if node.op == "field" else f'cache["{self.fields[index][0]}"]')
            self.lines.append(f"        {self.call('Add_Mul', '', [value], field)}")


class IndexerSpeller(Speller):
    """forward_indexer: every op gives a value; what ends the flow is put on `o`."""

    side = Side.INDEXER

    def __init__(self, graph: Graph, objects: Objects) -> None:
        super().__init__(graph, graph.indexer, objects)

    def call(self, kind: str, params: str, operands: Sequence[str]) -> str:
        return f"self.{self.objects.make(self.side, kind, params)}({', '.join(operands)}, ctx=ctx)"

    def body(self) -> list[str]:
        last = self.nodes[self.graph.selection]
        wanted = {*(node for _, node in self.graph.saves), *self._scores(last)}
        while (more := {a for i in wanted for a in self._args(i)}) - wanted:
            wanted |= more
        for index in sorted(wanted):
            if self.nodes[index].op not in ("input", "field", "state"):
                kind, params, args = self.spelled(index)
                self.texts[index] = self.assigned(kind, params, self.operands(index, args))
        for name, node in self.graph.saves:
            self.lines.append(f"        {self.call('Save', '', [self.loaded(node), f'cache[{quoted(name)}]'])}")
        self._end(last)
        return self.lines

    def _args(self, index: int) -> Sequence[int]:
        if self.nodes[index].op in ("input", "field", "state"):
            return ()
        return [max(a, ~a) for a in self.spelled(index)[2]]

    def _scores(self, last: Node) -> list[int]:
        """Of the one list, or of the two that are united. Raises UnknownOp."""
        leaves = [self.nodes[a] for a in last.args] if last.op == "union" else [last]
        other = next((leaf.op for leaf in leaves if leaf.op != "topk"), None)
        if other is not None:
            raise _word("a union of more than two lists" if other == "union" else f"ops.{other}")
        sizes = [dict(leaf.attrs).get("k") for leaf in leaves]
        if last.op == "union" and None in sizes:
            raise _word("a union of a list without k")
        return [leaf.args[0] for leaf in leaves]

    def _end(self, last: Node) -> None:
        leaves = [self.nodes[a] for a in last.args] if last.op == "union" else [last]
        attrs = [dict(leaf.attrs) for leaf in leaves]
        if attrs[0].get("k") is None:
            kind, params = ("approxTopK", f"{attrs[0]['tolerance']!r}") if "tolerance" in attrs[0] else ("topK", "")
            self.lines.append(f"        {self.call(kind, params, [self.loaded(last.args[0]), 'o'])}")
            return
        if any("tolerance" in one for one in attrs):
            raise _word("topk with k and tolerance")
        listed = [self.assigned("TopK", str(one["k"]), [self.loaded(leaf.args[0])])
                  for leaf, one in zip(leaves, attrs, strict=True)]
        self.lines.append(f"        {self.call('Union', '', [listed[0], listed[-1], 'o'])}")
