"""Sums and products of Polys, and the substitution of indices: everything here is plain algebra."""
from collections.abc import Callable, Iterable, Mapping, Sequence

from vortex.compiler.identity.facts import nonnegative, tame, tame_term
from vortex.compiler.identity.labels import closed, monomial
from vortex.compiler.identity.terms import (
    LEADS,
    NEGLIGIBLE,
    ONE,
    Book,
    Factor,
    Index,
    Monomial,
    NoForm,
    Poly,
    Template,
    Var,
    check_range,
    factors_vars,
    lead_of,
    leading,
    lone_factor,
    mapped,
    number,
    of_factor,
    plain_index,
    poly_lead,
    runs_through,
    single,
)
from vortex.ir import Lead

MOST_TERMS = 48
MOST_FACTORS = 12
Rebuild = Callable[[Book, Template, tuple[Poly, ...], Sequence[Var]], Poly]
REBUILD: dict[str, Rebuild] = {}              # how a template that is no leaf is made anew from changed bodies


def rebuilds(*kinds: str) -> Callable[[Rebuild], Rebuild]:
    def enter(function: Rebuild) -> Rebuild:
        REBUILD.update(dict.fromkeys(kinds, function))
        return function
    return enter


def add(*polys: Poly) -> Poly:
    out: Poly = {}
    for poly in polys:
        for m, c in poly.items():
            before = out.get(m, 0.0)
            total = before + c
            if abs(total) <= NEGLIGIBLE * max(abs(before), abs(c)):
                if not tame_term(m):
                    raise NoForm       # NaN - NaN is no zero
                out.pop(m, None)
            else:
                out[m] = total
    return out


def scale(poly: Poly, by: float) -> Poly:
    if not by and not tame(poly):
        raise NoForm                   # nor is zero times infinity
    return {m: c * by for m, c in poly.items()} if by else {}


def negative(poly: Poly) -> Poly:
    return scale(poly, -1.0)


def shift(poly: Poly, by: float) -> Poly:
    return add(poly, number(by))


def freshened(book: Book, m: Monomial) -> tuple[list[Var], list[Factor]]:
    """The monomial with summed variables that nothing else uses."""
    bound, factors = m
    if not bound:
        return [], list(factors)
    new = [book.fresh(var[1]) for var in bound]
    mapping = {var: plain_index(one) for var, one in zip(bound, new, strict=True)}
    return new, [(t, tuple(mapped(i, mapping) for i in args)) for t, args in factors]


def multiply(book: Book, x: Poly, y: Poly) -> Poly:
    book.spend(len(x) * len(y))
    if len(x) * len(y) > MOST_TERMS or _longest(x) + _longest(y) > MOST_FACTORS:
        x, y = grouped(book, x), grouped(book, y)
    ratio = _ratio(x, y)
    if ratio is not None:
        square = _square(book, x)
        return scale(square, ratio)
    if not tame(x) or not tame(y):
        x, y = _kept_together(book, x, y), _kept_together(book, y, x)
    if (len(x) > 1 and len(y) >= 1) or len(y) > 1:
        book.use("products are multiplied out")
    out: Poly = {}
    for m, c in x.items():
        for n, d in y.items():
            if m == ONE or n == ONE:
                weight, made = 1.0, n if m == ONE else m
            else:
                left, right = (m, n) if not (m[0] and n[0]) else (freshened(book, m), n)
                weight, made = monomial([*left[0], *right[0]], [*left[1], *right[1]])
            out = add(out, {made: c * d * weight}) if made in out else {**out, made: c * d * weight}
    return out


def _ratio(x: Poly, y: Poly) -> float | None:
    """y / x where that is a number and x is a sum or a root."""
    lone = lone_factor(x)
    if x.keys() != y.keys() or not x or (len(x) == 1 and not any(m[0] for m in x)
                                         and (lone is None or lone[1][0].kind not in ("sqrt", "abs", "exp"))):
        return None
    ratios = [y[m] / c for m, c in x.items()]
    return ratios[0] if max(ratios) - min(ratios) <= NEGLIGIBLE * abs(ratios[0]) else None


def _square(book: Book, x: Poly) -> Poly:
    """x * x: of a root what it is the root of; of a sum two equal factors, so that it is seen to be no less than 0."""
    lone = lone_factor(x)
    if lone is not None and lone[1][0].kind in ("sqrt", "abs", "exp"):
        body = body_of(book, lone[1])
        if lone[1][0].kind == "exp":
            return scale(function(book, "exp", (), [scale(body, 2.0)]), lone[0] ** 2)
        if lone[1][0].kind == "abs":
            return scale(multiply(book, body, body), lone[0] ** 2)
        if nonnegative(body):
            return scale(body, lone[0] ** 2)
    one = single(x) if lone is not None else single(grouped(book, x))
    assert one is not None
    return {((), (*one[1][1], *one[1][1])): one[0] ** 2}


def _kept_together(book: Book, x: Poly, y: Poly) -> Poly:
    """A sum is not multiplied out with what may be infinite: its terms would be of either sign."""
    return x if tame(y) or (len(x) <= 1 and not any(m[0] for m in x)) else grouped(book, x)


def _longest(poly: Poly) -> int:
    return max((len(m[1]) for m in poly), default=0)


def sum_over(book: Book, poly: Poly, variables: Iterable[Var]) -> Poly:
    """The sum over every value of `variables`, which occur free."""
    listed = list(variables)
    out: Poly = {}
    for m, c in poly.items():
        bound, factors = freshened(book, m)
        weight, made = monomial([*bound, *listed], factors)
        out = add(out, {made: c * weight})
    return out


def grouped(book: Book, poly: Poly) -> Poly:
    """`poly` as one factor, never to be multiplied out: keeps a product of many sums short."""
    by = leading(poly)
    if not by or lone_factor(poly) is not None:
        return poly
    return scale(function(book, "group", (), [scale(poly, 1 / by)]), by)


def function(book: Book, kind: str, data: tuple[object, ...], polys: Sequence[Poly], inner: Sequence[Var] = (),
             lead: Lead | None = None) -> Poly:
    """A function of `polys`, element by element in their free variables; it ranges over `inner`."""
    book.spend(sum(1 + len(m[1]) for poly in polys for m in poly))
    bodies, params, args, count = closed(polys, inner)
    lead = lead or max((poly_lead(p) for p in polys), key=LEADS.index)
    return of_factor(book.template(kind, data, bodies, params, lead, inner=count), args)


@rebuilds("group")
def _group(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return grouped(book, bodies[0])


def substitute(book: Book, poly: Poly, mapping: Mapping[Var, Index]) -> Poly:
    """`poly` with free variables replaced by indices. Raises OutOfRange."""
    book.spend(len(poly))
    out: Poly = {}
    for m, c in poly.items():
        if not any(var in mapping for var in factors_vars(m[1])):
            out = add(out, {m: c})
            continue
        bound, factors = freshened(book, m)
        simple: list[Factor] = []
        whole: list[Poly] = []
        for template, args in factors:
            made = tuple(mapped(i, mapping) for i in args)
            if made == args or _fits(template, made):
                simple.append((template, made))
            else:
                whole.append(opened(book, template, made))
        weight, made_monomial = monomial((), simple)
        term: Poly = {made_monomial: c * weight}
        for poly_part in whole:
            term = multiply(book, term, poly_part)
        out = add(out, sum_over(book, term, bound))
    return out


def _fits(template: Template, args: Sequence[Index]) -> bool:
    """Can the template take these indices as they are? Raises OutOfRange where a leaf cannot."""
    if template.leaf:
        for index, size in zip(args, template.params, strict=True):
            check_range(index, size)
        return True
    return all(runs_through(index, size) for index, size in zip(args, template.params, strict=False))


def opened(book: Book, template: Template, args: Sequence[Index]) -> Poly:
    """The template made anew with indices put into its bodies."""
    bodies, inner = bodies_at(book, template, args)
    return REBUILD[template.kind](book, template, bodies, inner)


def bodies_at(book: Book, template: Template, args: Sequence[Index]) -> tuple[tuple[Poly, ...], list[Var]]:
    """The bodies at `args`, and the fresh variables that are ranged over."""
    outer = len(template.params) - template.inner
    inner = [book.fresh(size) for size in template.params[outer:]]
    given = [*args, *map(plain_index, inner)]
    mapping = {(-1 - place, size): index for place, (size, index) in enumerate(zip(template.params, given, strict=True))}
    return tuple(substitute(book, body, mapping) for body in template.bodies), inner


def body_of(book: Book, factor: Factor) -> Poly:
    """The one body of a factor that ranges over nothing, at its indices."""
    return bodies_at(book, *factor)[0][0]


def common_factors(poly: Poly, wanted: Callable[[Factor], bool]) -> tuple[list[Factor], Poly]:
    """Factors that every term has, are not summed over and are `wanted`; and what is left without them."""
    rest, taken = poly, list[Factor]()
    first = next(iter(poly), ONE)
    for factor in first[1]:
        if factors_vars([factor]) & set(first[0]) or not wanted(factor):
            continue
        if all(factor in m[1] and not factors_vars([factor]) & set(m[0]) for m in rest):
            taken.append(factor)
            rest = {(m[0], _without(m[1], factor)): c for m, c in rest.items()}
    return taken, rest


def _without(factors: tuple[Factor, ...], one: Factor) -> tuple[Factor, ...]:
    at = factors.index(one)
    return factors[:at] + factors[at + 1:]


def product_of(factors: Sequence[Factor]) -> Poly:
    return {monomial((), factors)[1]: 1.0}


def split(poly: Poly, wanted: Callable[[Monomial], bool]) -> tuple[Poly, Poly]:
    """(terms that are wanted, the others)."""
    inside = {m: c for m, c in poly.items() if wanted(m)}
    return inside, {m: c for m, c in poly.items() if m not in inside}


def block_terms(poly: Poly) -> tuple[Poly, Poly]:
    """(terms that vary from block to block, terms that do not)."""
    return split(poly, lambda m: lead_of(m[1]) is Lead.BLOCK)
