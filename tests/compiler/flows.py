"""Random flows as people and models write them: summaries of keys, products with the query, a score put together."""
from dataclasses import replace
from random import Random

from tests.compiler.edits import Draft
from vortex.ir import Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.ops.record import Side

GEOMETRIES = (Geometry(8, 8, 2), Geometry(16, 8, 4), Geometry(8, 12, 3), Geometry(4, 8, 1))
UNARY = ("abs", "relu", "exp", "sigmoid", "silu", "negate")


class Author:
    """Writes one flow; `at` is the draft of the side being written."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.geometry = random.choice(GEOMETRIES)
        graph = Graph("random", self.geometry, (), (), (), (), (), 0)
        self.cache, self.indexer = Draft(graph, Side.CACHE), Draft(graph)
        self.writes: dict[str, int] = {}
        self.saves: dict[str, int] = {}
        self.first: dict[str, float] = {}

    def leaf(self, draft: Draft, op: str, name: str, type_: Type) -> int:
        draft.nodes.append(Node(op, (), (("name", name),), type_))
        return len(draft.nodes) - 1

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def scaled(self, draft: Draft, x: int) -> int:
        return draft.put("multiply", x, draft.number(self.random.choice([0.1, 0.25, 0.5, 2.0, -1.0])))

    def changed(self, draft: Draft, x: int, share: float = 0.3) -> int:
        """x, sometimes through a function, a scale or a shift."""
        if self.chance(share):
            op = self.random.choice(UNARY)
            x = draft.put(op, self.scaled(draft, x) if op == "exp" else x)
        if self.chance(share / 2):
            x = self.scaled(draft, x)
        if self.chance(share / 3):
            x = draft.put(self.random.choice(["add", "subtract"]), x, draft.number(self.random.choice([0.5, 1.0])))
        return x

    def reduced(self, draft: Draft, x: int, dim: int, ops: tuple[str, ...] = ("mean", "max", "sum", "min", "norm")) -> int:
        return draft.put(self.random.choice(ops), x, dim=dim) if draft.type(x).shape[dim - 1] > 1 else x

    def summary(self) -> None:
        d, g, r = self.cache, self.geometry, self.random
        x = self.leaf(d, "field", r.choice(["k", "k", "v"]), Type(Lead.BLOCK, g.block_size, g.head_dim))
        x = self.changed(d, x, 0.15)
        attrs = {"dim": 1, **({"every": r.choice([2, 4])} if self.chance(0.25) else {})}
        kinds = ("mean", "max", "min", "norm", "sum")
        made = d.put(r.choice(kinds), x, **attrs)
        if self.chance(0.25):
            made = d.put(r.choice(["add", "subtract", "maximum", "multiply"]), made, d.put(r.choice(kinds), x, **attrs))
        self.writes[f"f{len(self.writes)}"] = self.changed(d, made, 0.15)

    def query(self) -> int:
        d, r = self.indexer, self.random
        q = 0
        if self.chance(0.5):
            q = self.reduced(d, q, 1, ("mean", "max", "sum"))
        if self.chance(0.15) and d.type(q).cols % 2 == 0:
            half = d.type(q).cols // 2
            q = d.put("cat", d.put("slice", q, dim=2, start=half, stop=2 * half),
                      d.put("slice", q, dim=2, start=0, stop=half), dim=2)
        return self.changed(d, q, 0.2) if r.random() < 0.5 else q

    def field(self) -> int:
        d, name = self.indexer, self.random.choice(list(self.writes))
        return self.leaf(d, "field", name, self.cache.type(self.writes[name]))

    def part(self) -> int:
        """One number a block, made of the query and a field."""
        d, r = self.indexer, self.random
        q, c = self.query(), self.field()
        way = r.choice(["product", "product", "product", "kron", "multiply"])
        if way == "product":
            if self.chance(0.3):
                x = d.put("matmul", c, d.put("transpose", q))
            else:
                x = d.put("matmul", q, d.put("transpose", c))
        elif way == "kron":
            x = d.put("kron", q, c, dim=1)
            if self.chance(0.5):
                x = d.put("maximum", x, d.put("kron", q, self._same_shape(c), dim=1))
        else:
            if d.type(q).rows > 1 and d.type(c).rows > 1:
                c = self.reduced(d, c, 1, ("mean", "max"))
            x = d.put("multiply", q, c)
        if self.chance(0.2) and d.type(x).rows * d.type(x).cols <= 16:
            x = d.put("softmax", x, scale=r.choice([0.1, 0.5, 1.0]))
        dims = [1, 2] if self.chance(0.3) else [2, 1]
        for place, dim in enumerate(dims):
            ops = ("sum", "sum", "mean", "logsumexp", "norm") if place == 0 else ("max", "mean", "sum")
            x = self.changed(d, self.reduced(d, x, dim, ops), 0.2)
        return x

    def _same_shape(self, c: int) -> int:
        names = [n for n, node in self.writes.items() if self.cache.type(node) == self.indexer.type(c)]
        name = self.random.choice(names)
        return self.leaf(self.indexer, "field", name, self.indexer.type(c))

    def combined(self, x: int, y: int) -> int:
        d = self.indexer
        way = self.random.choice(["add", "add", "subtract", "multiply", "maximum", "where", "divide", "gate"])
        if way == "where":
            return d.put("where", d.put(self.random.choice(["greater", "less"]), x, y), x, d.put("multiply", y, d.number(0.5)))
        if way == "divide":
            return d.put("divide", x, d.put("add", d.put("abs", y), d.number(1.0)))
        if way == "gate":
            return d.put("multiply", x, d.put("sigmoid", y))
        return d.put(way, x, y)

    def state(self, x: int) -> int:
        d = self.indexer
        last = self.leaf(d, "state", "s", Type(Lead.BLOCK, 1, 1))
        new = d.put("add", d.put("multiply", last, d.number(0.5)), x)
        self.saves["s"], self.first["s"] = new, self.random.choice([0.0, 1.0])
        return new

    def flow(self) -> Graph:
        d, g, r = self.indexer, self.geometry, self.random
        for _ in range(r.randint(1, 3)):
            self.summary()
        self.leaf(d, "input", "q", Type(Lead.ROW, g.group, g.head_dim))
        score = self.part()
        for _ in range(r.randint(0, 2)):
            score = self.combined(score, self.part())
        if self.chance(0.2):
            score = d.put("add", score, d.put("multiply", d.put("position"), d.number(0.05)))
        if self.chance(0.2):
            score = d.put("subtract", score, d.put(r.choice(["mean_over_blocks", "max_over_blocks"]), score))
        if self.chance(0.15):
            score = d.put("conv", score, taps=(0.5, 0.3, 0.2))
        if self.chance(0.2):
            score = self.state(score)
        selection = d.put("topk", self.changed(d, score, 0.2))
        fields = [Field(n, *self.cache.type(node).shape) for n, node in self.writes.items()]
        fields += [Field(n, 1, 1, FieldKind.STATE, self.first[n]) for n in self.saves]
        return Graph("random", g, tuple(fields), tuple(self.cache.nodes), tuple(self.writes.items()),
                     tuple(replace(n, line=0) for n in d.nodes), tuple(self.saves.items()), selection)


def random_flow(seed: int) -> Graph:
    return Author(Random(seed)).flow()
