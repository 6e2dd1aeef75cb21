"""What is known of the numbers a Poly can be: never below zero, above zero, never NaN or infinite."""
from collections import Counter
from collections.abc import Callable

from vortex.compiler.identity.terms import ONE, Factor, Monomial, Poly, Template

NEVER_BELOW = frozenset({"exp", "sigmoid", "sqrt", "abs", "greater", "greater_equal", "less", "less_equal", "equal",
                         "not_equal", "softmax", "mass", "random", "position", "count"})
ABOVE = frozenset({"exp", "sigmoid", "count"})
AS_BODY = frozenset({"group", "stored", "max", "mean0", "max0", "min0"})     # of the sign that what they are made of is
WILD = frozenset({"op", "raw"})           # may be anything


def nonnegative(poly: Poly) -> bool:
    return all(_nonnegative_term(m) if c > 0 else _smallest_of(m, nonnegative) for m, c in poly.items()) or _mirrored(poly)


def _smallest_of(m: Monomial, fact: Callable[[Poly], bool]) -> bool:
    """Is the negative of `m` a minimum, a maximum of negatives, all of which `fact` is known of?"""
    template = m[1][0][0] if len(m[1]) == 1 and not m[0] else None
    return template is not None and template.kind in ("max", "maximum", "max0") and _known(
        template, f"negative {fact.__name__}",
        lambda t: all(fact({n: -c for n, c in body.items()}) for body in t.bodies))


def _mirrored(poly: Poly) -> bool:
    """1 - sigmoid(x), which is sigmoid(-x)."""
    others = [(m, c) for m, c in poly.items() if m != ONE]
    return len(others) == 1 and len(others[0][0][1]) == 1 and others[0][0][1][0][0].kind == "sigmoid" \
        and -poly.get(ONE, 0.0) <= others[0][1] < 0


def positive(poly: Poly) -> bool:
    """Above zero; a sum of squares of the query counts as above zero."""
    return _mirrored(poly) or (nonnegative(poly) and any(
        m == ONE or (_positive_term(m) if c > 0 else _smallest_of(m, positive)) for m, c in poly.items()))


def _nonnegative_term(m: Monomial) -> bool:
    return all(times % 2 == 0 or nonnegative_factor(f) for f, times in Counter(m[1]).items())


def _positive_term(m: Monomial) -> bool:
    return all((times % 2 == 0 and f[0].kind == "input") or positive_factor(f) for f, times in Counter(m[1]).items())


def nonnegative_factor(factor: Factor) -> bool:
    return _known(factor[0], "never below zero", _nonnegative_template)


def positive_factor(factor: Factor) -> bool:
    return _known(factor[0], "above zero", _positive_template)


def _known(template: Template, fact: str, find: Callable[[Template], bool]) -> bool:
    """What `find` says, asked once for each template."""
    if fact not in template.known:
        template.known[fact] = find(template)
    return template.known[fact]


def _nonnegative_template(template: Template) -> bool:
    if template.kind in NEVER_BELOW:
        return True
    if template.kind == "maximum":
        return any(map(nonnegative, template.bodies))
    if template.kind == "recip":
        return nonnegative(template.bodies[0])
    return template.kind in AS_BODY and nonnegative(template.bodies[0])


def _positive_template(template: Template) -> bool:
    if template.kind in ABOVE:
        return True
    if template.kind == "maximum":
        return any(map(positive, template.bodies))
    return template.kind in {*AS_BODY, "recip", "sqrt"} - {"stored"} and positive(template.bodies[0])


def tame(poly: Poly) -> bool:
    """Never NaN and never infinite, for finite q, k and v of moderate size."""
    return all(tame_term(m) for m in poly)


def tame_term(m: Monomial) -> bool:
    return all(_tame(f[0]) for f in m[1])


def _tame(template: Template) -> bool:
    return _known(template, "tame", _found_tame)


def _found_tame(template: Template) -> bool:
    if template.kind in WILD or not all(map(tame, template.bodies)):
        return False
    if template.kind in ("log", "recip"):
        return positive(template.bodies[0])
    return template.kind != "sqrt" or nonnegative(template.bodies[0])
