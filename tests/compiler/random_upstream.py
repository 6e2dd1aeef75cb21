"""Random flows in the upstream's spelling, legal by construction, from a seed."""
import random
from dataclasses import dataclass, field

HEAD = """import torch

from vortex_torch import cache as C
from vortex_torch import indexer as I
from vortex_torch.flow import register, vFlow


@register("random")
class Random(vFlow):
    def __init__(self):
        super().__init__()
        self.topk = I.topK()

    def create_cache(self, block_size, head_dim):
        return {fields}

    def forward_cache(self, cache, loc, ctx):
{cache}

    def forward_indexer(self, q, o, cache, ctx):
{indexer}
        self.topk({score}, o, ctx=ctx)
"""
LARGEST = 320                             # entries of a value
Shape = tuple[int, int]


@dataclass(frozen=True)
class Known:
    """A value by its name in the text: BATCHED (one a row) or not, PAGED (a field) or not."""

    name: str
    shape: Shape
    row: bool = False
    paged: bool = False


@dataclass
class Writer:
    """Writes a flow for the sizes given, whose q is [group, channels]."""

    seed: int
    group: int
    block: int
    channels: int
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def number(self) -> float:
        return self.draw.choice([0.0, 0.5, 1.0, -1.0, -0.25, 1.5, 0.125])

    def factor(self) -> float:
        return self.draw.choice([0.5, 1.0, -1.0, -0.25, 1.5])

    def text(self) -> str:
        names = [f"f{i}" for i in range(self.draw.randint(2, 4))]
        fields = self._cache(names)
        cache, self.lines = self.lines, []
        state = self.draw.random() < 0.5
        if state:
            cache.append(f"C.Fill({self.number()})(cache['st'], loc=loc, ctx=ctx)")
        score = self._indexer(fields, state)
        shapes = {known.name[7:-2]: known.shape for known in fields} | ({"st": (1, 1)} if state else {})
        return HEAD.format(fields=shapes, cache=_indented(cache), indexer=_indented(self.lines), score=score)

    def _cache(self, names: list[str]) -> list[Known]:
        values = [Known("cache['k']", (self.block, self.channels), paged=True),
                  Known("cache['v']", (self.block, self.channels), paged=True)]
        fields: list[Known] = []
        while len(fields) < len(names):
            call, shape, _ = self._op(values, "C")
            small = shape[0] * shape[1] <= 4 * self.channels
            target = f"cache['{names[len(fields)]}']" if small and self.draw.random() < 0.6 else "None"
            name = f"c{len(self.lines)}"
            self.lines.append(f"{name} = {call}{target}, loc=loc, ctx=ctx)")
            values.append(Known(name, shape, paged=target != "None"))
            if target != "None":
                fields.append(Known(target, shape, paged=True))
        return fields

    def _indexer(self, fields: list[Known], state: bool) -> str:
        values = [Known("q", (self.group, self.channels), row=True), Known("q", (self.group, self.channels), row=True), *fields]
        values += [Known("cache['k']", (self.block, self.channels), paged=True)] if self.draw.random() < 0.3 else []
        for _ in range(self.draw.randint(3, 9)):
            call, shape, row = self._across(values) if self.draw.random() < 0.25 else self._op(values, "I")
            values.append(self._named(call, shape, row))
        query = self._named("I.Mean(dim=1)(q, ", (1, self.channels), True)
        last = next((x for x in reversed(values) if not x.row and x.name.startswith("v")), self._loaded(fields[-1]))
        other = next((x for x in values if not x.row and x.shape[1] == self.channels), last)
        if other.shape[1] == self.channels:
            asked = self._named(f"I.GeMM()({query.name}, {other.name}, ", (other.shape[0], 1), False)
            last, asked = self._flat(last), self._flat(asked)
            last = self._named(f"I.Add(1.0, {self.factor()})({last.name}, {asked.name}, ", (1, 1), False)
        score = self._flat(last)
        if state:
            score = self._named(f"I.Add({self.draw.choice([0.5, 0.9])}, 1.0)(I.Load()(cache['st'], ctx=ctx), {score.name}, ",
                                (1, 1), False)
            self.lines.append(f"I.Save()({score.name}, cache['st'], ctx=ctx)")
        return score.name

    def _named(self, call: str, shape: Shape, row: bool) -> Known:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {call}ctx=ctx)")
        return Known(name, shape, row)

    def _loaded(self, x: Known) -> Known:
        return self._named(f"I.Load()({x.name}, ", x.shape, False) if x.paged else x

    def _flat(self, x: Known) -> Known:
        for dim in self.draw.sample([1, 2], 2):
            if x.shape[dim - 1] > 1:
                kind = self.draw.choice(["Mean", "Max", "Min", "Sum", "L2Norm"])
                x = self._named(f"I.{kind}(dim={dim})({x.name}, ", (1, x.shape[1]) if dim == 1 else (x.shape[0], 1), x.row)
        return self._loaded(x)

    def _across(self, values: list[Known]) -> tuple[str, Shape, bool]:
        x = self._loaded(self.draw.choice([v for v in values if not v.row]))
        kind = self.draw.choice(["Softmax", "Normalize", "Conv1d", "Reduce"])
        if kind == "Reduce":
            return f"I.{self.draw.choice(['Mean', 'Max', 'Min', 'Sum', 'L2Norm'])}(dim=0)({x.name}, ", x.shape, True
        if kind == "Conv1d":
            rows, cols = x.shape
            taps = [[[self.factor() for _ in range(cols)] for _ in range(rows)] for _ in range(self.draw.randint(1, 3))]
            return f"I.Conv1d({taps})({x.name}, ", x.shape, False
        scale = f"scale={self.draw.choice([0.1, -0.2, 1.0])}" if kind == "Softmax" else ""
        return f"I.{kind}({scale})({x.name}, ", x.shape, False

    def _op(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        """The beginning of a call, up to what both sides write differently; the shape and lead of its result."""
        makers = [self._reduced, self._single, self._paired, self._paired, self._product, self._band, self._reshaped]
        makers += [self._kron, self._turned] if side == "I" else [self._grouped, self._grouped]
        while True:
            made = self.draw.choice(makers)(values, side)
            if made is not None and made[1][0] * made[1][1] <= max(LARGEST, self.block * self.channels if side == "C" else 0):
                return made

    def _reduced(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        x, dim = self.draw.choice(values), self.draw.choice([1, 1, 2])
        kind = self.draw.choice(["Mean", "Max", "Min", "L2Norm"])
        return f"{side}.{kind}(dim={dim})({x.name}, ", (1, x.shape[1]) if dim == 1 else (x.shape[0], 1), x.row

    def _grouped(self, values: list[Known], side: str) -> tuple[str, Shape, bool] | None:
        x, dim = self.draw.choice(values), self.draw.choice([1, 2])
        k = self.draw.choice([2, 4, 8])
        if x.shape[dim - 1] % k:
            return None
        size = x.shape[dim - 1] // k
        kind = self.draw.choice(["Mean", "Max", "Min", "L2Norm"])
        shape = (size, x.shape[1]) if dim == 1 else (x.shape[0], size)
        return f"{side}.{kind}Interleave(dim={dim}, k={k})({x.name}, ", shape, False

    def _single(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        x = self.draw.choice(values)
        kind = self.draw.choice(["Relu", "Sigmoid", "Silu", "Add_Mul", "Abs"])
        return f"{side}.{kind}(alpha={self.number()}, beta={self.factor()})({x.name}, ", x.shape, x.row

    def _paired(self, values: list[Known], side: str) -> tuple[str, Shape, bool] | None:
        x, y = self.draw.choice(values), self.draw.choice(values)
        if any(a != b and 1 not in (a, b) for a, b in zip(x.shape, y.shape, strict=True)):
            return None
        kind = self.draw.choice(["Maximum()", "Minimum()", "Multiply()", f"Add({self.factor()}, {self.factor()})"])
        shape = (max(x.shape[0], y.shape[0]), max(x.shape[1], y.shape[1]))
        return f"{side}.{kind}({x.name}, {y.name}, ", shape, x.row and y.row

    def _product(self, values: list[Known], side: str) -> tuple[str, Shape, bool] | None:
        x, y = self.draw.choice(values), self.draw.choice(values)
        if x.shape[1] != y.shape[1]:
            return None
        return f"{side}.GeMM()({x.name}, {y.name}, ", (y.shape[0], x.shape[0]), x.row and y.row

    def _band(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        x, dim = self.draw.choice(values), self.draw.choice([1, 2])
        start, stop = sorted(self.draw.randint(0, x.shape[dim - 1]) for _ in range(2))
        mask = f"{side}.MaskSlice({start}, {stop}, dim={dim}, alpha={self.factor()}, beta={self.number()})"
        ends = "None, loc=loc, ctx=ctx" if side == "C" else "ctx=ctx"
        return f"{side}.Multiply()({x.name}, {mask}({x.name}, {ends}), ", x.shape, x.row

    def _reshaped(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        x = self.draw.choice(values)
        size = x.shape[0] * x.shape[1]
        rows = self.draw.choice([r for r in range(1, size + 1) if size % r == 0])
        return f"{side}.Reshape(-1, {rows}, {size // rows})({x.name}, ", (rows, size // rows), x.row

    def _kron(self, values: list[Known], side: str) -> tuple[str, Shape, bool] | None:
        x, y, dims = self.draw.choice(values), self.draw.choice(values), self.draw.choice([(1,), (2,), (1, 2)])
        shape = []
        for axis, (a, b) in enumerate(zip(x.shape, y.shape, strict=True), 1):
            if axis not in dims and a != b and 1 not in (a, b):
                return None
            shape.append(a * b if axis in dims else max(a, b))
        return f"{side}.Kron(dim={dims})({x.name}, {y.name}, ", (shape[0], shape[1]), x.row and y.row

    def _turned(self, values: list[Known], side: str) -> tuple[str, Shape, bool]:
        x = self.draw.choice(values)
        return f"{side}.Transpose()({x.name}, ", (x.shape[1], x.shape[0]), x.row


def _indented(lines: list[str]) -> str:
    return "\n".join(" " * 8 + line for line in lines) or " " * 8 + "pass"
