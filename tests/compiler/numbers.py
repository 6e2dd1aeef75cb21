"""What a normal form is worth in numbers: an evaluator of its own, to hold the rewrites against the reference."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import torch

from vortex.compiler.identity.layout import Axis, Tensor
from vortex.compiler.identity.terms import Factor, Index, Poly, Template, Var

Numbers = torch.Tensor
COMPARE: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "greater": torch.gt, "greater_equal": torch.ge, "equal": torch.eq, "not_equal": torch.ne}
RAW: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    **COMPARE, "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div}
FUNCTIONS: dict[str, Callable[[Numbers], Numbers]] = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "sigmoid": torch.sigmoid, "abs": torch.abs,
    "sign": torch.sign, "recip": torch.reciprocal, "stored": lambda x: x, "group": lambda x: x}


@dataclass
class Numerals:
    """`leaves`: values [N, rows, cols] by template digest, axes of size 1 left out; `middle`: bool [N]."""

    middle: Numbers
    leaves: dict[str, Numbers]
    known: dict[str, Numbers] = field(default_factory=dict)

    def tensor(self, x: Tensor) -> Numbers:
        """[N, rows, cols]."""
        value = self.poly(x.body, [*x.rows, *x.cols])
        return value.reshape(value.shape[0], _size(x.rows), _size(x.cols))

    def poly(self, poly: Poly, free: Sequence[Var]) -> Numbers:
        """[N, *free]."""
        out = torch.zeros([len(self.middle), *(size for _, size in free)], dtype=torch.float64)
        for (bound, factors), coefficient in poly.items():
            axes = [*free, *bound]
            term = torch.full([len(self.middle), *(size for _, size in axes)], coefficient, dtype=torch.float64)
            for factor in factors:
                term = term * self.factor(factor, axes)
            out = out + (term.sum(dim=list(range(1 + len(free), 1 + len(axes)))) if bound else term)
        return out

    def factor(self, factor: Factor, axes: Sequence[Var]) -> Numbers:
        template, args = factor
        value = self.template(template)
        places: list[Numbers] = [torch.arange(len(self.middle)).reshape(-1, *[1] * len(axes))]
        places += [_places(index, axes) for index in args]
        return value[tuple(places)]

    def template(self, template: Template) -> Numbers:
        """[N, *params that are not ranged over]."""
        if template.digest not in self.known:
            self.known[template.digest] = self._made(template)
        return self.known[template.digest]

    def _made(self, template: Template) -> Numbers:
        if template.digest in self.leaves:
            return self.leaves[template.digest].expand(len(self.middle), *template.params)
        params = [(-1 - place, size) for place, size in enumerate(template.params)]
        bodies = [self.poly(body, params) for body in template.bodies]
        ranged = list(range(1 + len(params) - template.inner, 1 + len(params)))
        return self._function(template.kind, template.data, bodies, ranged, template.params)

    def _function(self, kind: str, data: Sequence[object], bodies: Sequence[Numbers], ranged: list[int],
                  params: Sequence[int]) -> Numbers:
        if kind in FUNCTIONS:
            return FUNCTIONS[kind](bodies[0])
        if kind in COMPARE:
            return COMPARE[kind](bodies[0], torch.zeros_like(bodies[0])).double()
        if kind == "raw":
            return RAW[str(data[0])](*bodies).double()
        if kind == "maximum":
            return torch.stack(list(bodies)).amax(dim=0)
        if kind == "where":
            return bodies[1].where(bodies[0] != 0, bodies[2])
        if kind in ("max", "lse"):
            return bodies[0].amax(dim=ranged) if kind == "max" else bodies[0].logsumexp(dim=ranged)
        if kind == "number":
            return torch.full((len(self.middle),), float(str(data[0])), dtype=torch.float64)
        if kind == "mask":
            places = torch.arange(params[0])
            return ((places >= int(str(data[0]))) & (places < int(str(data[1])))).double().expand(len(self.middle), -1)
        if kind == "count":
            return self.middle.sum().double().expand(len(self.middle))
        return self._over_blocks(kind, data, bodies[0])

    def _over_blocks(self, kind: str, data: Sequence[object], x: Numbers) -> Numbers:
        inside = self.middle.reshape(-1, *[1] * (x.dim() - 1))
        low = x.where(inside, -torch.inf)
        if kind == "softmax":
            return low.softmax(0).where(inside, 0.0)
        if kind == "normalize":
            kept = x.where(inside, 0.0)
            return kept / kept.square().sum(0, keepdim=True).sqrt().clamp(min=1e-12)
        if kind == "conv":
            return _convolved(x.where(inside, 0.0), [float(str(tap)) for tap in data]).where(inside, 0.0)
        row = {"max0": lambda: low.amax(0, keepdim=True), "lse0": lambda: low.logsumexp(0, keepdim=True),
               "mean0": lambda: x.where(inside, 0.0).sum(0, keepdim=True) / self.middle.sum()}[kind]()
        return row.expand_as(x)


def _size(axis: Axis) -> int:
    return prod(size for _, size in axis)


def _places(index: Index, axes: Sequence[Var]) -> Numbers:
    out = torch.full([1] * (1 + len(axes)), index[0])
    for var, stride in index[1]:
        at = axes.index(var)
        steps = torch.arange(var[1]) * stride
        out = out + steps.reshape(-1, *[1] * (len(axes) - at - 1))
    return out


def _convolved(x: Numbers, taps: Sequence[float]) -> Numbers:
    out = torch.zeros_like(x)
    for place, tap in enumerate(taps[:len(x)]):
        out[place:] += tap * x[:len(x) - place]
    return out


def leaf_values(named: Mapping[str, Numbers]) -> Callable[[Template], Numbers | None]:
    """Values of leaves by their kind, or by the name they were given."""
    def find(template: Template) -> Numbers | None:
        return named.get(template.kind, named.get(str(template.data[0])) if template.data else None)
    return find
