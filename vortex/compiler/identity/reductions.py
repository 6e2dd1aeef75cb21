"""Reductions within a value and over a row's blocks: what does not depend on what is ranged over stands before them."""
import math
from collections.abc import Callable, Iterable, Sequence

from vortex.compiler.identity.facts import nonnegative, positive_factor, tame, tame_term
from vortex.compiler.identity.functions import exp, log, maximum, reciprocal, sigmoid, sqrt
from vortex.compiler.identity.labels import monomial
from vortex.compiler.identity.sums import (
    add,
    block_terms,
    bodies_at,
    body_of,
    common_factors,
    freshened,
    function,
    multiply,
    negative,
    product_of,
    rebuilds,
    scale,
    shift,
    split,
    sum_over,
)
from vortex.compiler.identity.terms import (
    Book,
    Factor,
    Poly,
    Template,
    Var,
    as_number,
    factors_vars,
    free_vars,
    leading,
    lone_factor,
    number,
    of_factor,
)
from vortex.ir import Lead

Extreme = Callable[[Book, Poly], Poly]


def _increasing(factor: Factor) -> bool:
    """Is the factor a strictly increasing function of its body, wherever that leads?"""
    kind, body = factor[0].kind, factor[0].bodies[0] if factor[0].bodies else {}
    return kind in ("exp", "sigmoid") or (kind in ("sqrt", "log") and nonnegative(body))


def _decreasing(factor: Factor) -> bool:
    return factor[0].kind == "recip" and nonnegative(factor[0].bodies[0])


APPLY = {"exp": exp, "sigmoid": sigmoid, "sqrt": sqrt, "log": log, "recip": reciprocal}


def largest(book: Book, poly: Poly, variables: Iterable[Var]) -> Poly:
    """The largest value over all values of `variables`."""
    ranged = set(variables) & free_vars(poly)
    if not ranged:
        return poly
    return _extreme(book, poly, lambda factors: bool(factors_vars(factors) & ranged),
                    lambda rest: _largest_of(book, rest, ranged), lambda rest: largest(book, rest, ranged))


def smallest(book: Book, poly: Poly, variables: Iterable[Var]) -> Poly:
    return negative(largest(book, negative(poly), variables))


def _largest_of(book: Book, rest: Poly, ranged: set[Var]) -> Poly:
    lone = lone_factor(rest)
    if lone is not None and lone[0] == 1 and lone[1][0].kind == "max":
        book.use("a maximum of maxima is one")
        bodies, inner = bodies_at(book, *lone[1])
        return largest(book, bodies[0], [*inner, *ranged])
    if lone is not None and lone[0] == 1 and lone[1][0].kind == "maximum":
        return maximum(book, *(largest(book, body, ranged) for body in bodies_at(book, *lone[1])[0]))
    if lone is not None and lone[0] == 1 and lone[1][0].kind == "max0":
        return largest_block(book, largest(book, body_of(book, lone[1]), ranged))
    return function(book, "max", (), [rest], sorted(ranged))


def largest_block(book: Book, poly: Poly) -> Poly:
    """The largest value over the row's blocks."""
    if not block_terms(poly)[0]:
        return poly
    return _extreme(book, poly, lambda factors: any(f[0].lead is Lead.BLOCK for f in factors),
                    lambda rest: function(book, "max0", (), [rest], lead=Lead.ROW), lambda rest: largest_block(book, rest))


def _extreme(book: Book, poly: Poly, depends: Callable[[Sequence[Factor]], bool], make: Callable[[Poly], Poly],
             again: Callable[[Poly], Poly]) -> Poly:
    """What does not depend on what is ranged over, and is above 0 where it multiplies, stands before the maximum."""
    moving, still = split(poly, lambda m: depends(m[1]) or not tame_term(m))
    taken, rest = common_factors(moving, lambda f: positive_factor(f) and not depends([f]))
    by = abs(leading(rest))
    if still or taken or by != 1:
        book.use("shifts and positive scales move through a maximum")
    rest = scale(rest, 1 / by)
    lone = lone_factor(rest)
    if lone is not None and (_increasing(lone[1]) or _decreasing(lone[1])):
        book.use("monotone functions move through a maximum")
        turned = (lone[0] > 0) is not _decreasing(lone[1])
        inner = body_of(book, lone[1])
        inner = again(inner) if turned else negative(again(negative(inner)))
        made = scale(APPLY[lone[1][0].kind](book, inner), lone[0])
    else:
        made = make(rest)
    return add(still, multiply(book, product_of(taken), scale(made, by)))


def log_sum_exp(book: Book, poly: Poly, variables: Iterable[Var]) -> Poly:
    listed = list(variables)
    ranged = set(listed) & free_vars(poly)
    size = math.prod(size for var in listed if var not in ranged for size in (var[1],))
    if not ranged:
        return shift(poly, math.log(size))
    moving, still = split(poly, lambda m: bool(factors_vars(m[1]) & ranged))
    if still:
        book.use("a shift moves through log-sum-exp")
    lone = lone_factor(moving)
    if lone is not None and lone[0] == 1 and lone[1][0].kind == "lse":
        bodies, inner = bodies_at(book, *lone[1])
        made = log_sum_exp(book, bodies[0], [*inner, *ranged])
    else:
        made = function(book, "lse", (), [moving], sorted(ranged))
    return add(still, shift(made, math.log(size)))


def length(book: Book, poly: Poly, variables: Iterable[Var]) -> Poly:
    return sqrt(book, sum_over(book, multiply(book, poly, poly), variables))


# ---- over the row's blocks, from bos to n - eos

def _linear(book: Book, poly: Poly, kind: str, data: tuple[object, ...], lead: Lead,
            constant: Callable[[], Poly]) -> Poly:
    """A linear map over blocks: factors that are one per row stand before it; `constant` is its value of 1."""
    out: Poly = {}
    for m, c in poly.items():
        bound, factors = freshened(book, m)
        inside = [f for f in factors if f[0].lead is Lead.BLOCK]
        outside = [f for f in factors if f[0].lead is not Lead.BLOCK]
        if inside:
            shared = factors_vars(outside)
            weight, made = monomial([v for v in bound if v not in shared], inside)
            mapped = function(book, kind, data, [{made: weight}], lead=lead)
        else:
            shared, mapped = set(bound), constant()
        term = multiply(book, {monomial((), outside)[1]: c}, mapped)
        out = add(out, sum_over(book, term, [v for v in bound if v in shared]))
    if len(poly) > 1:
        book.use("sums move through a linear map over blocks")
    return out


def mean_of_blocks(book: Book, poly: Poly) -> Poly:
    return _linear(book, poly, "mean0", (), Lead.ROW, lambda: number(1.0))


def count(book: Book) -> Poly:
    return of_factor(book.template("count", (), (), (), Lead.ROW, leaf=True), ())


def sum_of_blocks(book: Book, poly: Poly) -> Poly:
    return multiply(book, count(book), mean_of_blocks(book, poly))


def convolved(book: Book, poly: Poly, taps: tuple[float, ...]) -> Poly:
    first = next((tap for tap in taps if tap), 1.0)
    weights = tuple(float(f"{tap / first:.9g}") for tap in taps)
    ones = lambda: function(book, "conv", weights, [number(1.0)], lead=Lead.BLOCK)  # noqa: E731
    return scale(_linear(book, poly, "conv", weights, Lead.BLOCK, ones), first)


def log_sum_exp_of_blocks(book: Book, poly: Poly) -> Poly:
    moving, still = block_terms(poly)
    if not moving:
        return add(still, function(book, "log", (), [count(book)]))
    return add(still, function(book, "lse0", (), [moving], lead=Lead.ROW))


def length_of_blocks(book: Book, poly: Poly) -> Poly:
    return sqrt(book, sum_of_blocks(book, multiply(book, poly, poly)))


def softmax(book: Book, poly: Poly, by: float) -> Poly:
    moving, still = block_terms(scale(poly, by))
    if not tame(still):
        moving, still = {**moving, **still}, {}
    if still:
        book.use("shares do not see a row's shift")
    return function(book, "softmax", (), [moving], lead=Lead.BLOCK)


def normalized(book: Book, poly: Poly) -> Poly:
    taken, rest = common_factors(poly, lambda f: positive_factor(f) and f[0].lead is not Lead.BLOCK and tame(product_of([f])))
    by = leading(rest)
    if not by:
        return rest
    if taken or by != 1:
        book.use("normalize does not see a row's positive scale")
    return scale(function(book, "normalize", (), [scale(rest, 1 / by)], lead=Lead.BLOCK), math.copysign(1.0, by))


@rebuilds("max", "lse")
def _ranged(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return (largest if template.kind == "max" else log_sum_exp)(book, bodies[0], inner)


@rebuilds("max0", "mean0", "lse0", "softmax", "normalize")
def _over_blocks(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    if template.kind == "softmax":
        return softmax(book, bodies[0], 1.0)
    made: dict[str, Extreme] = {"max0": largest_block, "mean0": mean_of_blocks, "lse0": log_sum_exp_of_blocks,
                                "normalize": normalized}
    return made[template.kind](book, bodies[0])


@rebuilds("conv")
def _conv(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    if as_number(bodies[0]) is not None:
        return function(book, "conv", template.data, list(bodies), lead=Lead.BLOCK)
    return convolved(book, bodies[0], tuple(float(str(tap)) for tap in template.data))
