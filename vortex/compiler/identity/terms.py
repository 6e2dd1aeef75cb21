"""Tensors in index notation: what the deep normal form of a flow is made of.

A Poly is a sum of monomials, each a number times factors, summed over some index variables:
(q @ c.T)[g, r] is sum over d of q[g, d] * c[r, d], whichever way it was written. A factor is a Template applied to
indices: a leaf such as `q`, or a function of a Poly that is closed over the Template's parameters. Templates are
interned by a digest of what they mean, so that equal values are one object.
"""
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from vortex.ir import Lead

Var: TypeAlias = tuple[int, int]                       # (serial, size); below 0 in canonical names
Index: TypeAlias = tuple[int, tuple[tuple[Var, int], ...]]   # offset + sum of stride * variable, widest stride first
Factor: TypeAlias = "tuple[Template, tuple[Index, ...]]"
Monomial: TypeAlias = tuple[tuple[Var, ...], tuple[Factor, ...]]   # summed variables, factors
Poly: TypeAlias = dict[Monomial, float]

ONE: Monomial = ((), ())
FIRST_SUMMED = -1000          # canonical serials: parameters count down from -1, summed variables from here
LEADS = (Lead.CONST, Lead.ROW, Lead.BLOCK)
NEGLIGIBLE = 1e-12
MOST_WORK = 40_000           # terms: a quarter of a second


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """`bodies` are closed over the canonical variables of `params` (sizes), of which the last `inner` are ranged over.

    A leaf takes any index; other templates take an index only where it runs through the whole parameter.
    """

    kind: str
    data: tuple[object, ...]
    bodies: tuple[Poly, ...]
    params: tuple[int, ...]
    inner: int
    lead: Lead
    leaf: bool
    digest: str
    known: dict[str, bool] = field(default_factory=dict)      # what facts.py has found out


class NoForm(Exception):
    """The op at hand cannot be looked into here: it stays as it is written."""


class OutOfRange(NoForm):
    """An index runs over the end of what it indexes."""


class TooLong(Exception):
    """The flow is so long that its normal form is not worth the wait."""


@dataclass
class Book:
    """The Templates of one normalisation, and which laws were used at which line.

    `work` counts terms that have been looked at; there is an end to it.
    """

    templates: dict[str, Template] = field(default_factory=dict)
    used: dict[str, set[int]] = field(default_factory=dict)
    line: int = 0
    serial: int = 0
    work: int = 0

    def spend(self, terms: int) -> None:
        """Raises TooLong."""
        self.work += terms
        if self.work > MOST_WORK:
            raise TooLong

    def fresh(self, size: int) -> Var:
        self.serial += 1
        return self.serial, size

    def use(self, law: str) -> None:
        self.used.setdefault(law, set()).add(self.line)

    def template(self, kind: str, data: tuple[object, ...], bodies: tuple[Poly, ...], params: tuple[int, ...],
                 lead: Lead, *, inner: int = 0, leaf: bool = False) -> Template:
        digest = digest_of(kind, data, [poly_key(body) for body in bodies], params, inner)
        found = self.templates.get(digest)
        if found is None:
            found = Template(kind, data, bodies, params, inner, lead, leaf, digest)
            self.templates[digest] = found
        return found


def digest_of(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def number_text(value: float) -> str:
    """Nine digits: more than single precision holds, fewer than rounding in double precision disturbs."""
    return f"{value:.9g}"


def factor_key(factor: Factor) -> tuple[str, tuple[Index, ...]]:
    return factor[0].digest, factor[1]


def monomial_key(monomial: Monomial) -> tuple[object, ...]:
    return tuple(factor_key(f) for f in monomial[1]), monomial[0]


def poly_key(poly: Poly) -> list[tuple[object, str]]:
    return sorted((monomial_key(m), number_text(c)) for m, c in poly.items())


def nameless_key(monomial: Monomial) -> tuple[object, ...]:
    """The key of a monomial up to the names of its variables."""
    return tuple((t.digest, tuple((offset, tuple(stride for _, stride in parts)) for offset, parts in args))
                 for t, args in monomial[1])


def leading(poly: Poly) -> float:
    """The coefficient of the first monomial that is not a number, in an order free of names; of the number if alone."""
    terms = [(nameless_key(m), -abs(c), c) for m, c in poly.items() if m != ONE]
    return min(terms)[2] if terms else poly.get(ONE, 0.0)


def number(value: float) -> Poly:
    return {ONE: value} if value else {}


def as_number(poly: Poly) -> float | None:
    """The number that `poly` is, if it is one."""
    if not poly:
        return 0.0
    return poly[ONE] if len(poly) == 1 and ONE in poly else None


def single(poly: Poly) -> tuple[float, Monomial] | None:
    """(coefficient, monomial) of a Poly of one term."""
    return next(((c, m) for m, c in poly.items()), None) if len(poly) == 1 else None


def lone_factor(poly: Poly) -> tuple[float, Factor] | None:
    """(coefficient, factor) of a Poly of one factor and nothing else."""
    one = single(poly)
    if one is None or one[1][0] or len(one[1][1]) != 1:
        return None
    return one[0], one[1][1][0]


def of_factor(template: Template, args: tuple[Index, ...]) -> Poly:
    return {((), ((template, args),)): 1.0}


def plain_index(var: Var) -> Index:
    return 0, ((var, 1),)


def index_vars(index: Index) -> Iterable[Var]:
    return (var for var, _ in index[1])


def factors_vars(factors: Iterable[Factor]) -> set[Var]:
    return {var for _, args in factors for _, parts in args for var, _ in parts}


def free_vars(poly: Poly) -> set[Var]:
    return {var for (bound, factors) in poly for var in factors_vars(factors) - set(bound)}


def lead_of(factors: Iterable[Factor]) -> Lead:
    return max((f[0].lead for f in factors), key=LEADS.index, default=Lead.CONST)


def poly_lead(poly: Poly) -> Lead:
    return max((lead_of(m[1]) for m in poly), key=LEADS.index, default=Lead.CONST)


def mapped(index: Index, mapping: Mapping[Var, Index]) -> Index:
    """`index` with its variables replaced."""
    if not any(var in mapping for var, _ in index[1]):
        return index
    offset, strides = index[0], dict[Var, int]()
    for var, stride in index[1]:
        inner_offset, parts = mapping.get(var, (0, ((var, 1),)))
        offset += stride * inner_offset
        for part, step in parts:
            strides[part] = strides.get(part, 0) + stride * step
    return offset, sorted_parts(strides.items())


def sorted_parts(parts: Iterable[tuple[Var, int]]) -> tuple[tuple[Var, int], ...]:
    return tuple(sorted(parts, key=lambda part: (-part[1], part[0])))


def runs_through(index: Index, size: int) -> bool:
    """Does `index` take each of 0 .. size-1 once, in order, as its variables count up like digits?"""
    offset, parts = index
    step = 1
    for (_, length), stride in reversed(parts):
        if stride != step:
            return False
        step *= length
    return offset == 0 and step == size


def check_range(index: Index, size: int) -> None:
    offset, parts = index
    if offset < 0 or offset + sum(stride * (length - 1) for (_, length), stride in parts) >= size:
        raise OutOfRange


def compound(variables: Sequence[Var]) -> Index:
    """Variables read as digits of one index, the first the most significant."""
    parts, step = [], 1
    for var in reversed(variables):
        parts.append((var, step))
        step *= var[1]
    return 0, sorted_parts(parts)
