"""All modules that a flow may import, by name."""
from collections.abc import Callable, Mapping, Sequence

from vortex.language import ops
from vortex.language.calls import words
from vortex.language.compat import packages
from vortex.language.imports import standing
from vortex.language.ops.record import Op
from vortex.language.symbols import call
from vortex.language.things import Builtin, Module, tensor_of

__all__ = ["modules", "ops"]


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
