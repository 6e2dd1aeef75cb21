"""The maths of the upstream's ops on one block: arrays [a, b]."""
import numpy as np

from tests.oracle.values import Array

NEVER = -1e30


def product(x: Array, y: Array) -> Array:
    """Second operand's rows first: out[a, b] = sum over k of y[a, k] * x[b, k]."""
    assert x.shape[1] == y.shape[1], f"product of {x.shape} and {y.shape}"
    out = np.zeros((y.shape[0], x.shape[0]))
    for a in range(y.shape[0]):
        out[a] = x @ y[a]
    return out


def reduced(kind: str, x: Array, dim: int) -> Array:
    axis = dim - 1
    if kind == "Sum":
        return x.sum(axis=axis, keepdims=True)
    if kind == "Mean":
        return x.sum(axis=axis, keepdims=True) / x.shape[axis]
    if kind == "Max":
        return x.max(axis=axis, keepdims=True)
    if kind == "Min":
        return x.min(axis=axis, keepdims=True)
    assert kind == "L2Norm", kind
    return np.sqrt((x * x).sum(axis=axis, keepdims=True))


def reduced_groups(kind: str, x: Array, dim: int, k: int) -> Array:
    """Groups of k neighbours along `dim`."""
    size = x.shape[dim - 1]
    assert size % k == 0, f"{size} in groups of {k}"
    groups = []
    for start in range(0, size, k):
        group = x[start:start + k] if dim == 1 else x[:, start:start + k]
        groups.append(reduced(kind, group, dim))
    return np.concatenate(groups, axis=dim - 1)


def fits(x: Array, y: Array) -> None:
    for a, b in zip(x.shape, y.shape, strict=True):
        assert a == b or 1 in (a, b), f"{x.shape} and {y.shape} do not broadcast"


def paired(kind: str, x: Array, y: Array, alpha: float, beta: float) -> Array:
    fits(x, y)
    if kind == "Add":
        return alpha * x + beta * y
    if kind == "Multiply":
        return x * y
    if kind == "Maximum":
        return np.maximum(x, y)
    if kind == "Minimum":
        return np.minimum(x, y)
    holds = {"WhereEqual": x == y, "WhereNotEqual": x != y, "WhereGreater": x > y,
             "WhereGreaterEqual": x >= y, "WhereLess": x < y, "WhereLessEqual": x <= y}[kind]
    return np.where(holds, 0.0, NEVER)


def single(kind: str, x: Array, alpha: float, beta: float) -> Array:
    if kind == "Relu":
        return np.where(x >= alpha, x, beta)
    if kind == "Sigmoid":
        return 1.0 / (1.0 + np.exp(beta * x + alpha))
    if kind == "Silu":
        return x / (1.0 + np.exp(beta * x + alpha))
    inner = beta * x + alpha
    if kind == "Add_Mul":
        return inner
    if kind == "Abs":
        return np.abs(inner)
    if kind == "Log":
        return np.log(inner)
    assert kind == "Exp", kind
    return np.exp(inner)


def kron(x: Array, y: Array, dims: tuple[int, ...]) -> Array:
    """Along a selected axis the index is i * (extent of y) + j; along another the operands broadcast."""
    for dim in (1, 2):
        a, b = x.shape[dim - 1], y.shape[dim - 1]
        assert dim in dims or a == b or 1 in (a, b)
    rows = [(i, j) for i in range(x.shape[0]) for j in range(y.shape[0])] if 1 in dims else pairs(x.shape[0], y.shape[0])
    cols = [(i, j) for i in range(x.shape[1]) for j in range(y.shape[1])] if 2 in dims else pairs(x.shape[1], y.shape[1])
    out = np.zeros((len(rows), len(cols)))
    left, right = [j for j, _ in cols], [j for _, j in cols]
    for r, (i, j) in enumerate(rows):
        out[r] = x[i, left] * y[j, right]
    return out


def pairs(a: int, b: int) -> list[tuple[int, int]]:
    return [(i if a > 1 else 0, i if b > 1 else 0) for i in range(max(a, b))]


def band(x: Array, start: int, end: int, dim: int, alpha: float, beta: float) -> Array:
    """alpha at indices start..end-1 of axis `dim`, beta elsewhere, whatever x holds."""
    assert 0 <= start <= end <= x.shape[dim - 1], f"{start}:{end} of {x.shape}"
    out = np.full(x.shape, beta)
    if dim == 1:
        out[start:end] = alpha
    else:
        out[:, start:end] = alpha
    return out


def reshaped(x: Array, rows: int, cols: int) -> Array:
    assert x.size == rows * cols, f"{x.shape} is not {rows} x {cols}"
    return x.reshape(rows, cols)
