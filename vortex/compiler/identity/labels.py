"""Canonical names for index variables, so that equal sums of products are equal data whoever wrote them.

Variables are told apart by how factors use them; where that leaves ties, all orders are tried and the least text wins.
Variables that always stand next to each other like digits of one number become one.
"""
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, pairwise, permutations, product
from math import factorial, prod

from vortex.compiler.identity.terms import (
    FIRST_SUMMED,
    Factor,
    Index,
    Monomial,
    Poly,
    Var,
    compound,
    factor_key,
    factors_vars,
    free_vars,
    mapped,
    number_text,
    plain_index,
    poly_key,
    sorted_parts,
)

MOST_ORDERS = 24
JOINED = count(1 << 40)        # serials of joined variables: they are renamed before anybody sees them
Group = tuple[int, str, Sequence[Factor]]     # which body, the coefficient, the factors of one monomial


def renamed(factors: Iterable[Factor], mapping: Mapping[Var, Index]) -> list[Factor]:
    return [(template, tuple(mapped(index, mapping) for index in args)) for template, args in factors]


def _signature(var: Var, groups: Sequence[Group], colors: Mapping[Var, int]) -> tuple[object, ...]:
    uses = []
    for place, coefficient, factors in groups:
        inside = []
        for template, args in factors:
            if any(v == var for _, parts in args for v, _ in parts):
                inside.append((template.digest, tuple(
                    (offset, tuple((stride, -1 if v == var else colors.get(v, 0)) for v, stride in parts))
                    for offset, parts in args)))
        if inside:
            uses.append((place, coefficient, tuple(sorted(inside)), tuple(sorted(f[0].digest for f in factors))))
    return var[1], colors[var], tuple(sorted(uses))


def _orders(variables: Sequence[Var], groups: Sequence[Group], first: Mapping[Var, int]) -> Iterable[list[Var]]:
    """`variables` in canonical order; several orders where nothing tells some of them apart."""
    if len(variables) < 2:
        return [list(variables)]
    colors = dict(first)
    for _ in range(3):
        signatures = {v: _signature(v, groups, colors) for v in variables}
        distinct = sorted(set(signatures.values()))
        rank = {signature: place for place, signature in enumerate(distinct, 1)}
        colors = {**first, **{v: rank[s] for v, s in signatures.items()}}
        if len(distinct) == len(variables):
            break
    ties: dict[int, list[Var]] = {}
    for var in sorted(variables, key=lambda v: (colors[v], v)):
        ties.setdefault(colors[var], []).append(var)
    if prod(factorial(len(group)) for group in ties.values()) > MOST_ORDERS:
        return [[v for group in ties.values() for v in group]]
    return ([v for group in choice for v in group] for choice in product(*(permutations(g) for g in ties.values())))


def _fusable(variables: set[Var], indexes: Sequence[Index]) -> tuple[Var, Var] | None:
    """Two of `variables` that are always neighbouring digits."""
    for _, parts in indexes:
        for (a, wide), (b, narrow) in pairwise(parts):
            if a in variables and b in variables and wide == narrow * b[1] and _always(a, b, indexes):
                return a, b
    return None


def _always(a: Var, b: Var, indexes: Sequence[Index]) -> bool:
    for _, parts in indexes:
        strides = dict(parts)
        if (a in strides or b in strides) and strides.get(a) != strides.get(b, 0) * b[1]:
            return False
    return True


def _joined(index: Index, a: Var, b: Var, one: Var) -> Index:
    strides = dict(index[1])
    if b not in strides:
        return index
    strides[one] = strides.pop(b)
    del strides[a]
    return index[0], sorted_parts(strides.items())


def fuse(variables: Sequence[Var], factors: Sequence[Sequence[Factor]]) -> tuple[
        list[Var], list[list[Factor]], dict[Var, tuple[Var, ...]]]:
    """Joins neighbouring digits among `variables`; also returns what each joined variable is made of."""
    out = [list(group) for group in factors]
    left, made = set(variables), dict[Var, tuple[Var, ...]]()
    while len(left) > 1:
        indexes = [index for group in out for _, args in group for index in args if len(index[1]) > 1]
        pair = _fusable(left, indexes) if indexes else None
        if pair is None or not _always(*pair, [i for group in out for _, args in group for i in args]):
            break
        a, b = pair
        one = (next(JOINED), a[1] * b[1])
        made[one] = (*made.pop(a, (a,)), *made.pop(b, (b,)))
        left = left - {a, b} | {one}
        out = [[(t, tuple(_joined(i, a, b, one) for i in args)) for t, args in group] for group in out]
    return sorted(left), out, made


def monomial(bound: Iterable[Var], factors: Iterable[Factor]) -> tuple[float, Monomial]:
    """(weight, canonical monomial): a summed variable that nothing uses counts as often as it has values."""
    listed = list(factors)
    used = factors_vars(listed)
    weight, variables = 1.0, []
    for var in bound:
        if var in used:
            variables.append(var)
        else:
            weight *= var[1]
    if len(variables) > 1:
        variables, (listed,), _ = fuse(variables, [listed])
    if not variables:
        return weight, ((), tuple(sorted(listed, key=factor_key)))
    best: tuple[Factor, ...] | None = None
    names: tuple[Var, ...] = ()
    for order in _orders(variables, [(0, "", listed)], dict.fromkeys(variables, 0)):
        new = [(FIRST_SUMMED - place, var[1]) for place, var in enumerate(order)]
        mapping = {var: plain_index(name) for var, name in zip(order, new, strict=True)}
        found = tuple(sorted(renamed(listed, mapping), key=factor_key))
        if best is None or [factor_key(f) for f in found] < [factor_key(f) for f in best]:
            best, names = found, tuple(new)
    assert best is not None
    return weight, (names, best)


def closed(polys: Sequence[Poly], inner: Sequence[Var] = ()) -> tuple[tuple[Poly, ...], tuple[int, ...], tuple[Index, ...], int]:
    """(bodies, sizes of parameters, arguments, number of inner parameters): `polys` closed over their free variables.

    Those of `inner` come last and have no argument: the template ranges over them.
    """
    terms = [(place, coefficient, m) for place, poly in enumerate(polys) for m, coefficient in poly.items()]
    free = {v for poly in polys for v in free_vars(poly)}
    outer, ranged = sorted(free - set(inner)), sorted(free & set(inner))
    groups: list[list[Factor]] = [list(m[1]) for _, _, m in terms]
    outer, groups, made = fuse(outer, groups)
    ranged, groups, _ = fuse(ranged, groups)
    told: list[Group] = [(place, number_text(c), group) for (place, c, _), group in zip(terms, groups, strict=True)]
    best: tuple[Poly, ...] | None = None
    best_key: object = None
    args: tuple[Index, ...] = ()
    first = {**dict.fromkeys(outer, 1), **dict.fromkeys(ranged, 2)}
    chosen: list[Var] = []
    for order in _orders([*outer, *ranged], told, first):
        order = sorted(order, key=lambda v: v in ranged)
        mapping = {var: plain_index((-1 - place, var[1])) for place, var in enumerate(order)}
        bodies: tuple[Poly, ...] = tuple({} for _ in polys)
        for (place, coefficient, m), group in zip(terms, groups, strict=True):
            weight, made_monomial = monomial(m[0], renamed(group, mapping))
            bodies[place][made_monomial] = bodies[place].get(made_monomial, 0.0) + weight * coefficient
        key = [poly_key(body) for body in bodies]
        if best is None or key < best_key:  # type: ignore[operator]
            best, best_key, chosen = bodies, key, order
    assert best is not None
    args = tuple(compound(made.get(var, (var,))) for var in chosen if var not in ranged)
    return best, tuple(var[1] for var in chosen), args, len(ranged)
