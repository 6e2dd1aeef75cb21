"""What a selection cannot see of its score: top-k sees the order of a row's blocks and nothing else."""
from vortex.compiler.identity.facts import nonnegative, nonnegative_factor, positive_factor, tame
from vortex.compiler.identity.functions import exp
from vortex.compiler.identity.sums import (
    add,
    block_terms,
    bodies_at,
    body_of,
    common_factors,
    product_of,
    scale,
    sum_over,
)
from vortex.compiler.identity.terms import ONE, Book, Poly, leading, lone_factor, number, single
from vortex.ir import Lead

MOST_STEPS = 64
INCREASING = frozenset({"exp", "sigmoid", "softmax", "normalize"})
INCREASING_ABOVE_ZERO = frozenset({"sqrt", "log"})


def ranked(book: Book, score: Poly) -> Poly:
    """A score of the same order within each row."""
    for _ in range(MOST_STEPS):
        rest = _unscaled(book, _unshifted(book, score))
        inner = _inside(book, rest)
        if inner is None:
            return rest
        score = inner
    return score


def _unshifted(book: Book, score: Poly) -> Poly:
    moving, still = block_terms(score)
    if not tame(still):
        return score
    if still:
        book.use("top-k does not see a row's shift")
    return moving


def _unscaled(book: Book, score: Poly) -> Poly:
    taken, rest = common_factors(score, lambda f: f[0].lead is not Lead.BLOCK and positive_factor(f) and tame(product_of([f])))
    by = abs(leading(rest))
    if taken or by not in (0.0, 1.0):
        book.use("top-k does not see a row's positive scale")
    return scale(rest, 1 / by) if by else rest


def _inside(book: Book, score: Poly) -> Poly | None:
    """What the score is a strictly monotone function of."""
    lone = lone_factor(score)
    if lone is None:
        return _root(book, score)
    by, factor = lone
    kind, bodies = factor[0].kind, factor[0].bodies
    if kind in INCREASING or (kind in INCREASING_ABOVE_ZERO and nonnegative(bodies[0])):
        book.use("top-k does not see an increasing function")
        return scale(body_of(book, factor), by)
    if kind == "recip" and nonnegative(bodies[0]):
        book.use("top-k does not see an increasing function")
        return scale(body_of(book, factor), -by)
    if kind == "lse":
        book.use("top-k does not see an increasing function")
        made, inner = bodies_at(book, *factor)
        return scale(sum_over(book, exp(book, made[0]), inner), by)
    return None


def _root(book: Book, score: Poly) -> Poly | None:
    """The base of a power of something never below zero."""
    one = single(score)
    if one is None or one[1][0] or len(one[1][1]) < 2 or len(set(one[1][1])) > 1:
        return None
    factor = one[1][1][0]
    if not nonnegative_factor(factor):
        return None
    book.use("top-k does not see an increasing function")
    return scale(product_of([factor]), one[0])


def against(book: Book, score: Poly, bound: float) -> Poly:
    """`score - bound`, whose sign is all that a threshold sees beside the order: up to a positive scale."""
    difference = add(score, number(-bound))
    by = abs(leading(difference))
    if by not in (0.0, 1.0):
        book.use("a threshold does not see a positive scale of score and bound")
    return scale(difference, 1 / by) if by else difference


__all__ = ["ONE", "against", "ranked"]
