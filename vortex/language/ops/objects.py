"""What records of the public upstream's op objects share: the sides they live on, checks of constructors, alpha and beta."""
from collections.abc import Callable
from typing import Any

from vortex.errors import BadArgument, Fix
from vortex.language.ops.record import Side
from vortex.language.ops.shapes import finite, shown, whole

BOTH = frozenset({Side.CACHE, Side.INDEXER})
INDEXER = frozenset({Side.INDEXER})
CACHE = frozenset({Side.CACHE})


def numbers(**params: object) -> None:
    """Raises BadArgument unless all are finite numbers."""
    for name, value in params.items():
        if not finite(value):
            raise BadArgument(f"{name}={shown(value)} is not a finite number")


def one_of(*dims: int) -> Callable[..., None]:
    """A check that `dim` is one of `dims`."""
    def check(*, dim: object, **others: object) -> None:
        if not whole(dim) or dim not in dims:
            raise BadArgument(f"dim={shown(dim)} is not {' or '.join(map(str, dims))}",
                              fix=Fix(f"dim={dim}", f"dim={dim + 3}") if dim in (-1, -2) else None)
    return check


def weighed(x: Any, weight: float) -> Any:
    """weight * x, as one would write it."""
    if weight == 1:
        return x
    return -x if weight == -1 else x * float(weight)


def affine(x: Any, alpha: float, beta: float) -> Any:
    """beta * x + alpha, as one would write it."""
    x = weighed(x, beta)
    return x if alpha == 0 else x + float(alpha)


def weighed_sum(x: Any, y: Any, alpha: float, beta: float) -> Any:
    """alpha * x + beta * y, as one would write it."""
    if beta == -1:
        return weighed(x, alpha) - y
    if alpha == -1:
        return weighed(y, beta) - x
    return weighed(x, alpha) + weighed(y, beta)
