"""Arithmetic and the usual functions, element by element."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.ir import Lead, Type
from vortex.language.kernel import elementwise
from vortex.language.ops.objects import BOTH, affine, numbers, weighed_sum
from vortex.language.ops.record import Op, Sample, Upstream, Word, define
from vortex.language.ops.shapes import broadcast, unchanged

if TYPE_CHECKING:
    import torch

    Binary = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    Unary = Callable[[torch.Tensor], torch.Tensor]

BINARY_SAMPLES = (
    Sample(args=(Type(Lead.ROW, 4, 8), Type(Lead.BLOCK, 1, 8)), attrs={}),
    Sample(args=(Type(Lead.BLOCK, 3, 1), Type(Lead.BLOCK, 1, 5)), attrs={}),
    Sample(args=(Type(Lead.BLOCK, 2, 3), Type(Lead.CONST, 1, 1)), attrs={}),
)
UNARY_SAMPLES = (
    Sample(args=(Type(Lead.BLOCK, 3, 5),), attrs={}),
    Sample(args=(Type(Lead.ROW, 4, 1),), attrs={}),
)


def infix(symbol: str) -> Callable[[Sequence[str], Mapping[str, Any]], str]:
    return lambda texts, attrs: f"({texts[0]}) {symbol} ({texts[1]})"


# Op objects of the upstream. Their alpha and beta are spelled out, so that both spellings meet in one Graph.
SCALARS = (("alpha", 0.0), ("beta", 1.0))
ADD = Upstream(name="Add", means="alpha * x + beta * y", sides=BOTH, tensors=2, params=(("alpha", 1.0), ("beta", 1.0)),
               check=numbers, write=weighed_sum)
MULTIPLY = Upstream(name="Multiply", means="x * y", sides=BOTH, tensors=2, params=(("alpha", 1.0), ("beta", 1.0)),
                    write=lambda x, y, alpha, beta: x * y)
ADD_MUL = Upstream(name="Add_Mul", means="beta * x + alpha", sides=BOTH, params=SCALARS, check=numbers, write=affine)


def _of_affine(name: str, op: str) -> Upstream:
    """op(beta * x + alpha)."""
    return Upstream(name=name, means=f"(beta * x + alpha).{op}()", sides=BOTH, params=SCALARS, check=numbers,
                    write=lambda x, alpha, beta: affine(x, alpha, beta)._apply(op))


def _relu_object(x: Any, alpha: float, beta: float) -> Any:
    """x if x >= alpha else beta, of NaN too."""
    if alpha == 0 and beta == 0:
        return x.relu()
    return (x >= float(alpha))._apply("where", x, float(beta))


def _sigmoid_object(x: Any, alpha: float, beta: float) -> Any:
    """1 / (1 + exp(beta * x + alpha)): the usual one has beta = -1."""
    return affine(x, -alpha, -beta).sigmoid()


def _silu_object(x: Any, alpha: float, beta: float) -> Any:
    """x / (1 + exp(beta * x + alpha)): the usual one has beta = -1."""
    return x.silu() if alpha == 0 and beta == -1 else x * _sigmoid_object(x, alpha, beta)


def _gate_object(name: str, means: str, write: Callable[..., Any]) -> Upstream:
    return Upstream(name=name, means=means, sides=BOTH, params=(("alpha", 0.0), ("beta", 0.0)), check=numbers, write=write)


def _operator(name: str, symbol: str, meaning: str, noun: str, evaluate: "Binary", *upstream: Upstream, kernel: str = "") -> None:
    define(Op(
        kernel=elementwise(kernel or f"{{0}} {symbol} {{1}}"),
        name=name, meaning=meaning, noun=noun, usage=f"x {symbol} y", spelling=infix(symbol), infer=broadcast,
        evaluate=lambda scope, x, y: evaluate(x, y), samples=BINARY_SAMPLES, numbers=True,
        commutative=symbol in "+*", upstream=upstream,
    ))


def _extreme(name: str, meaning: str, noun: str, evaluate: "Binary", kernel: str) -> None:
    word = Word(name=name, tensors=("x", "y"))
    define(Op(
        kernel=elementwise(kernel),
        name=name, meaning=meaning, noun=noun, usage=word.usage, spelling=word.spell, word=word, infer=broadcast,
        evaluate=lambda scope, x, y: evaluate(x, y), samples=BINARY_SAMPLES, numbers=True, commutative=True,
        upstream=(Upstream(name=name.title(), means=word.usage, sides=BOTH, tensors=2, write=lambda x, y: x._apply(name, y)),),
    ))


def _function(name: str, meaning: str, evaluate: "Unary", kernel: str, *upstream: Upstream) -> None:
    word = Word(name=name, method=True)
    define(Op(
        kernel=elementwise(kernel),
        name=name, meaning=meaning, noun=name, usage=word.usage, spelling=word.spell, word=word, infer=unchanged,
        evaluate=lambda scope, x: evaluate(x), samples=UNARY_SAMPLES, upstream=upstream,
    ))


_operator("add", "+", "The sum.", "total", lambda x, y: x + y, ADD, ADD_MUL)
_operator("subtract", "-", "The difference.", "difference", lambda x, y: x - y)
_operator("multiply", "*", "The product, element by element.", "scaled", lambda x, y: x * y, MULTIPLY)
# Rounded to the nearest, which Triton's plain quotient is not: position() / 3 == 2 must hold of block 6.
_operator("divide", "/", "The quotient; nothing guards a division by zero.", "ratio", lambda x, y: x / y,
          kernel="tl.div_rn({0}, {1})")
_extreme("maximum", "The larger of two values, element by element; NaN if either is.", "upper",
         lambda x, y: x.maximum(y), "larger({0}, {1})")
_extreme("minimum", "The smaller of two values, element by element; NaN if either is.", "lower",
         lambda x, y: x.minimum(y), "smaller({0}, {1})")
define(Op(
    name="negate", meaning="The negative.", noun="negative", usage="-x", infer=unchanged,
    spelling=lambda texts, attrs: f"-({texts[0]})", evaluate=lambda scope, x: -x, samples=UNARY_SAMPLES,
    kernel=elementwise("-{0}"),
))
_function("abs", "The magnitude.", lambda x: x.abs(), "tl.abs({0})", _of_affine("Abs", "abs"))
_function("sign", "1, 0 or -1, by the sign of x; NaN stays NaN.", lambda x: x.sign().where(~x.isnan(), x),
          "tl.where({0} > 0, 1.0, tl.where({0} < 0, -1.0, {0}))")
_function("exp", "e to the power of x.", lambda x: x.exp(), "tl.exp({0})", _of_affine("Exp", "exp"))
_function("log", "The natural logarithm: NaN below zero, minus infinity at zero.", lambda x: x.log(),
          "tl.log({0})", _of_affine("Log", "log"))
_function("sqrt", "The square root: NaN below zero.", lambda x: x.sqrt(), "tl.sqrt_rn({0})")
_function("relu", "x where it is positive, else 0, of NaN too.", lambda x: x.where(x > 0, 0.0), "tl.where({0} > 0, {0}, 0.0)",
          _gate_object("Relu", "x if x >= alpha else beta", _relu_object))
_function("sigmoid", "1 / (1 + exp(-x)).", lambda x: x.sigmoid(), "1.0 / (1.0 + tl.exp(-{0}))",
          _gate_object("Sigmoid", "1 / (1 + exp(beta * x + alpha))", _sigmoid_object))
_function("silu", "x / (1 + exp(-x)).", lambda x: x * x.sigmoid(), "{0} / (1.0 + tl.exp(-{0}))",
          _gate_object("Silu", "x / (1 + exp(beta * x + alpha))", _silu_object))
