"""All modules that a flow may import, by name."""
import ast
from collections.abc import Callable, Mapping, Sequence

from vortex.language import ops
from vortex.language.calls import words
from vortex.language.compat import packages
from vortex.language.evaluator import Evaluator
from vortex.language.imports import standing
from vortex.language.ops.record import Op
from vortex.language.shipped import NAME, Shipped
from vortex.language.symbols import call
from vortex.language.things import Builtin, Module, tensor_of

__all__ = ["evaluator_of", "ops"]


def _word(several: Sequence[Op]) -> Callable[..., object]:
    return lambda *args, **named: call(several, [tensor_of(arg) for arg in args],
                                       {name: tensor_of(value) for name, value in named.items()})


def _words() -> dict[str, object]:
    return {name: Builtin(f"ops.{name}", _word(several)) for name, several in words(method=False).items()}


WORDS = Module("ops", _words())
STANDING = standing()


def modules(contract: Mapping[str, object]) -> dict[str, Module]:
    """`contract` has vFlow, vFlowMLA and register, which are those of one text."""
    return {**STANDING, "vortex": Module("vortex", {"ops": WORDS, **contract}), **packages(contract)}


def evaluator_of(contract: Mapping[str, object]) -> Evaluator:
    """What runs a text with all modules within reach."""
    within = modules(contract)
    evaluator = Evaluator(within)

    def run(tree: ast.Module) -> Mapping[str, object]:
        other = Evaluator(within, evaluator.guard)
        other.run(tree)
        return other.scope.names

    within[NAME] = Shipped(run)
    return evaluator
