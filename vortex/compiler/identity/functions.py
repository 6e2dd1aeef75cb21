"""The functions of the language, element by element, each brought to one form.

min is a negative max, relu a maximum with 0, silu x times its sigmoid, x / y a product with a reciprocal.
"""
import math
from collections.abc import Sequence

from vortex.compiler.identity.facts import nonnegative, positive_factor, tame, tame_term
from vortex.compiler.identity.sums import (
    add,
    bodies_at,
    body_of,
    common_factors,
    function,
    multiply,
    negative,
    product_of,
    rebuilds,
    scale,
    shift,
)
from vortex.compiler.identity.terms import (
    ONE,
    Book,
    Factor,
    Poly,
    Template,
    Var,
    as_number,
    leading,
    lone_factor,
    nameless_key,
    number,
    number_text,
    poly_key,
    single,
)

MOST_EXPONENT = 20.0


def _parts(poly: Poly) -> tuple[float, tuple[Factor, ...]] | None:
    """(coefficient, factors) of a Poly of one unsummed term."""
    one = single(poly)
    return None if one is None or one[1][0] else (one[0], one[1][1])


def exp(book: Book, x: Poly) -> Poly:
    value = as_number(x)
    by = x.get(ONE, 0.0)
    if abs(by) > MOST_EXPONENT:
        return function(book, "exp", (), [x])
    if value is not None:
        return number(math.exp(value))
    if by:
        book.use("exp(x + c) is exp(c) * exp(x)")
    return scale(function(book, "exp", (), [shift(x, -by)]), math.exp(by))


def log(book: Book, x: Poly) -> Poly:
    value, by = as_number(x), abs(leading(x))
    if value is not None and value > 0:
        return number(math.log(value))
    if not x:
        return function(book, "log", (), [x])
    if by != 1:
        book.use("log(c * x) is log(c) + log(x)")
    return shift(function(book, "log", (), [scale(x, 1 / by)]), math.log(by))


def sqrt(book: Book, x: Poly) -> Poly:
    value, by = as_number(x), abs(leading(x))
    if value is not None and value >= 0:
        return number(math.sqrt(value))
    parts = _parts(x)
    if parts is not None and parts[0] > 0 and len(parts[1]) % 2 == 0:
        half = parts[1][::2]
        if parts[1][1::2] == half:
            book.use("sqrt(x * x) is |x|")
            inner = body_of(book, half[0]) if len(half) == 1 and half[0][0].kind == "group" else product_of(half)
            return scale(magnitude(book, inner), math.sqrt(parts[0]))
    return scale(function(book, "sqrt", (), [scale(x, 1 / by)]), math.sqrt(by)) if by else {}


def sigmoid(book: Book, x: Poly) -> Poly:
    """Of x whose leading term is above 0: sigmoid(-x) is 1 - sigmoid(x)."""
    value = as_number(x)
    if value is not None:
        return number(1 / (1 + math.exp(-value))) if abs(value) < MOST_EXPONENT else function(book, "sigmoid", (), [x])
    if leading(x) > 0:
        return function(book, "sigmoid", (), [x])
    book.use("sigmoid(-x) is 1 - sigmoid(x)")
    return shift(negative(function(book, "sigmoid", (), [negative(x)])), 1.0)


def magnitude(book: Book, x: Poly) -> Poly:
    value, by = as_number(x), leading(x)
    if value is not None:
        return number(abs(value))
    if by < 0 or by != 1:
        book.use("|c * x| is |c| * |x|")
    x = scale(x, 1 / by)
    if nonnegative(x):
        book.use("|x| is x where x is never below 0")
        return scale(x, abs(by))
    parts = _parts(x)
    if parts is not None and len(parts[1]) > 1:
        out = number(abs(by * parts[0]))
        for factor in parts[1]:
            out = multiply(book, out, magnitude(book, product_of([factor])))
        return out
    return scale(function(book, "abs", (), [x]), abs(by))


def sign(book: Book, x: Poly) -> Poly:
    value, by = as_number(x), leading(x)
    if value is not None:
        return number(math.copysign(1.0, value) if value else 0.0)
    _, rest = common_factors(scale(x, 1 / by), positive_factor)
    if as_number(rest) is not None:
        return number(math.copysign(1.0, by * rest[ONE]))
    return scale(function(book, "sign", (), [rest]), math.copysign(1.0, by))


def reciprocal(book: Book, x: Poly) -> Poly:
    value, by = as_number(x), leading(x)
    if value:
        return number(1 / value)
    if not x:
        return function(book, "recip", (), [x])
    logistic = _logistic(book, x)
    if logistic is not None:
        return logistic
    x = scale(x, 1 / by)
    parts = _parts(x)
    if parts is None:
        return scale(function(book, "recip", (), [x]), 1 / by)
    out = number(1 / by)
    for factor in parts[1]:
        inner = product_of([factor])
        if factor[0].kind == "recip":
            made = body_of(book, factor)
        elif factor[0].kind == "exp":
            made = exp(book, negative(body_of(book, factor)))
        else:
            made = function(book, "recip", (), [inner])
        out = multiply(book, out, made)
    return out


def _logistic(book: Book, x: Poly) -> Poly | None:
    """1 / (a + b * exp(x)) with a and b of one sign."""
    above = x.get(ONE, 0.0)
    rest = lone_factor({m: c for m, c in x.items() if m != ONE})
    if rest is None or rest[1][0].kind != "exp" or rest[0] * above <= 0:
        return None
    book.use("1 / (1 + exp(-x)) is sigmoid(x)")
    inner = shift(body_of(book, rest[1]), math.log(rest[0] / above))
    return scale(sigmoid(book, negative(inner)), 1 / above)


def stored(book: Book, x: Poly) -> Poly:
    """x as a field holds it: rounding commutes with the sign and with powers of two, and with nothing else."""
    by = leading(x)
    if not by:
        return x
    power = math.copysign(2.0 ** math.floor(math.log2(abs(by))), by)
    inner = lone_factor(x)
    if inner is not None and inner[1][0].kind == "stored" and abs(by) == abs(power):
        return x
    if power != 1:
        book.use("rounding into a field keeps signs and powers of two")
    return scale(function(book, "stored", (), [scale(x, 1 / power)]), power)


def minimum(book: Book, *xs: Poly) -> Poly:
    return negative(maximum(book, *map(negative, xs)))


INCREASING = {"exp": exp, "sigmoid": sigmoid}


def maximum(book: Book, *xs: Poly) -> Poly:
    """Flat, without duplicates, in one order; what all have in common stands before it."""
    listed = _flat(book, xs)
    if len(listed) == 1:
        return listed[0]
    common, listed = _common_terms(listed)
    if len(listed) == 2 and not add(*listed):
        book.use("maximum(x, -x) is |x|")
        return add(common, magnitude(book, listed[0]))
    taken, listed = _common_factors(listed)
    by = _joint_scale(listed)
    if common or taken or by != 1:
        book.use("what both sides have in common stands before a maximum")
    listed = [scale(x, 1 / by) for x in listed]
    lone = [lone_factor(x) for x in listed]
    kinds = {one[1][0].kind if one is not None and one[0] == 1 else "" for one in lone}
    kind = kinds.pop()
    if any(one is not None and one[0] > 0 and one[1][0].kind == "maximum" for one in lone):
        made = maximum(book, *listed)
    elif not kinds and kind in INCREASING:
        book.use("the maximum of increasing functions is the function of the maximum")
        made = INCREASING[kind](book, maximum(book, *(body_of(book, one[1]) for one in lone if one is not None)))
    else:
        made = function(book, "maximum", (), sorted(listed, key=_order))
    return add(common, multiply(book, product_of(taken), scale(made, by)))


def _order(poly: Poly) -> str:
    """First what is the same however variables are called."""
    return repr((sorted((nameless_key(m), number_text(c)) for m, c in poly.items()), poly_key(poly)))


def _flat(book: Book, xs: Sequence[Poly]) -> list[Poly]:
    out: list[Poly] = []
    constants: list[float] = []
    for x in xs:
        value, lone = as_number(x), lone_factor(x)
        if value is not None:
            constants.append(value)
        elif lone is not None and lone[1][0].kind == "maximum" and lone[0] > 0:
            book.use("a maximum of maxima is one")
            inner = bodies_at(book, *lone[1])[0]
            out += [scale(body, lone[0]) for body in inner if as_number(body) is None]
            constants += [value * lone[0] for body in inner if (value := as_number(body)) is not None]
        else:
            out.append(x)
    distinct = {_order(x): x for x in out}
    return [distinct[key] for key in sorted(distinct)] + ([number(max(constants))] if constants else [])


def _common_terms(xs: Sequence[Poly]) -> tuple[Poly, list[Poly]]:
    common = {m: c for m, c in xs[0].items() if tame_term(m) and all(m in x and abs(x[m] - c) <= 1e-12 * abs(c) for x in xs)}
    return common, [{m: c for m, c in x.items() if m not in common} for x in xs]


def _common_factors(xs: Sequence[Poly]) -> tuple[list[Factor], list[Poly]]:
    """Positive factors of every term of all of `xs`."""
    full = [x for x in xs if x]
    taken: list[Factor] = []
    while True:
        parts = [common_factors(x, positive_factor)[0] for x in full]
        shared = next((f for f in parts[0] if all(f in p for p in parts)), None) if parts else None
        if shared is None:
            return taken, list(xs) if not taken else full + [x for x in xs if not x]
        taken.append(shared)
        full = [_divided(x, shared) for x in full]


def _divided(x: Poly, factor: Factor) -> Poly:
    return {(m[0], tuple(_removed(list(m[1]), factor))): c for m, c in x.items()}


def _removed(factors: list[Factor], one: Factor) -> list[Factor]:
    factors.remove(one)
    return factors


def _joint_scale(xs: Sequence[Poly]) -> float:
    """A positive number that all are divided by, found whatever they have been multiplied with together."""
    scales = [(_order(scale(x, 1 / abs(leading(x)))), abs(leading(x))) for x in xs if x]
    return min(scales)[1] if scales else 1.0


RELATIONS = frozenset({"greater", "greater_equal", "equal", "not_equal"})


def compare(book: Book, relation: str, difference: Poly) -> Poly:
    """1 where `difference` stands in `relation` to 0."""
    if relation in ("less", "less_equal"):
        return compare(book, relation.replace("less", "greater"), negative(difference))
    value = as_number(difference)
    if value is not None:
        return number(float({"greater": value > 0, "greater_equal": value >= 0, "equal": value == 0,
                             "not_equal": value != 0}[relation]))
    by = leading(difference)
    difference = scale(difference, 1 / (abs(by) if relation.startswith("greater") else by))
    if relation == "not_equal" or (relation == "greater_equal" and tame(difference)):
        other = "equal" if relation == "not_equal" else "greater"
        turned = difference if relation == "not_equal" else negative(difference)
        return shift(negative(function(book, other, (), [turned])), 1.0)
    return function(book, relation, (), [difference])


def where(book: Book, condition: Poly, x: Poly, y: Poly) -> Poly:
    """x where `condition` is not 0, else y."""
    value = as_number(condition)
    if value is not None:
        return x if value else y
    if poly_key(x) == poly_key(y):
        return x
    inverse = lone_factor(shift(negative(condition), 1.0))
    if inverse is not None and inverse[0] == 1 and inverse[1][0].kind in RELATIONS:
        book.use("a choice by the opposite condition is turned round")
        return where(book, product_of([inverse[1]]), y, x)
    larger = _as_maximum(book, condition, x, y)
    if larger is not None:
        return larger
    common, (x, y) = _common_terms([x, y])
    by = _joint_scale([x, y])
    made = function(book, "where", (), [scale(condition, 1 / leading(condition)), scale(x, 1 / by), scale(y, 1 / by)])
    return add(common, scale(made, by))


def _as_maximum(book: Book, condition: Poly, x: Poly, y: Poly) -> Poly | None:
    """where(x > y, x, y) is a maximum as long as neither is NaN."""
    lone = lone_factor(condition)
    if lone is None or lone[1][0].kind not in ("greater", "greater_equal") or not (tame(x) and tame(y)):
        return None
    tested, difference = body_of(book, lone[1]), add(x, negative(y))
    by = leading(difference)
    if not by or leading(tested) == 0:
        return None
    ratio = scale(difference, 1 / abs(by))
    for way, choose in ((1.0, maximum), (-1.0, minimum)):
        if poly_key(scale(tested, way / abs(leading(tested)))) == poly_key(ratio):
            book.use("where(x > y, x, y) is a maximum")
            return choose(book, x, y)
    return None


def relu(book: Book, x: Poly) -> Poly:
    """x where it is above 0, else 0, of NaN too: a maximum where x is never NaN."""
    return where(book, compare(book, "greater", x), x, {})


@rebuilds("exp", "log", "sqrt", "sigmoid", "abs", "sign", "recip", "stored")
def _one(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return {"exp": exp, "log": log, "sqrt": sqrt, "sigmoid": sigmoid, "abs": magnitude, "sign": sign,
            "recip": reciprocal, "stored": stored}[template.kind](book, bodies[0])


@rebuilds("maximum")
def _maximum(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return maximum(book, *bodies)


@rebuilds("greater", "greater_equal", "equal", "not_equal")
def _compare(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return compare(book, template.kind, bodies[0])


@rebuilds("where")
def _where(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return where(book, *bodies)


@rebuilds("raw")
def _raw(book: Book, template: Template, bodies: tuple[Poly, ...], inner: Sequence[Var]) -> Poly:
    return function(book, "raw", template.data, list(bodies))
