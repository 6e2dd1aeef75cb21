"""What a flow's Python handles beside plain data and tensors: functions, classes, instances, modules.

None of it is an object of Python's own: what may be asked of a Thing is what its methods answer.
"""
import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vortex.errors import BadArgument, FlowContractError, ForbiddenSyntax, UnknownOp
from vortex.language.calls import nearest
from vortex.language.flow import vFlow
from vortex.language.foreign import HINTS
from vortex.language.place import PYTHON_ERRORS
from vortex.language.symbols import Value

MOST_ATTRIBUTES = 2_000
MOST_CLASSES = 40      # above one another
MOST_NAME = 100
Args = Sequence[object]
Named = Mapping[str, object]


class Thing:
    """Answers with a refusal unless it says otherwise."""

    kind = "this"

    def member(self, name: str) -> object:
        raise UnknownOp(f"{self.kind} has no .{name}")

    def set_member(self, name: str, value: object) -> None:
        raise ForbiddenSyntax(f".{name} of {self.kind} is assigned: things are kept on self",
                              hint="Use a local name, an attribute of self, or a field of the cache.")

    def call(self, args: Args, named: Named) -> object:
        raise FlowContractError(f"{self.kind} is not a function")

    def item(self, key: object) -> object:
        raise BadArgument(f"{self.kind} is not indexed")

    def set_item(self, key: object, value: object) -> None:
        raise BadArgument(f"{self.kind} is not indexed")

    def holds(self, key: object) -> bool:
        raise BadArgument(f"{self.kind} holds nothing")

    def each(self) -> Iterable[object]:
        raise BadArgument(f"cannot loop over {self.kind}", hint="Loop over range(n), a tuple or a list.")

    def tensor(self) -> Value | None:
        """What it stands for as an operand, if it stands for a tensor."""
        return None


def tensor_of(value: object) -> Any:
    """A field as the tensor it stands for, fields in a list likewise; anything else as it is."""
    if isinstance(value, list | tuple) and any(isinstance(item, Thing) for item in value):
        return [_operand(item) for item in value]
    return _operand(value)


def _operand(value: object) -> object:
    found = value.tensor() if isinstance(value, Thing) else None
    return value if found is None else found


class Runs(Protocol):
    """What runs the body of a function: the Evaluator."""

    def enter(self, function: "Function", args: Args, named: Named) -> object: ...


@dataclass(eq=False)
class Scope:
    """Names that are bound, and where to look further; the function that runs in it, with its first argument."""

    outer: "Scope | None" = None
    names: dict[str, object] = field(default_factory=dict)
    function: "Function | None" = None
    of_class: bool = False

    def chain(self) -> "Iterator[Scope]":
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


@dataclass(eq=False)
class Function(Thing):
    """A function of the text. `defaults` are those of the last positional parameters, `named` those after `*`."""

    name: str
    node: ast.FunctionDef
    defaults: tuple[object, ...]
    named: dict[str, object]
    scope: Scope
    evaluator: Runs
    owner: "Class | None" = None
    kind = "a function"

    @property
    def parameters(self) -> list[str]:
        return [arg.arg for arg in [*self.node.args.posonlyargs, *self.node.args.args]]

    @property
    def required(self) -> int:
        """How many arguments it cannot do without."""
        return len(self.parameters) - len(self.defaults)

    @property
    def last_line(self) -> int:
        return max(getattr(node, "lineno", 0) for node in ast.walk(self.node))

    def call(self, args: Args, named: Named) -> object:
        return self.evaluator.enter(self, args, named)


@dataclass(eq=False)
class Bound(Thing):
    """A method with the object it belongs to."""

    function: Function
    first: object
    kind = "a method"

    def call(self, args: Args, named: Named) -> object:
        return self.function.call([self.first, *args], named)


@dataclass(eq=False)
class Marked(Thing):
    """A function of a class under @staticmethod, @classmethod or @property."""

    mark: str
    function: Function
    kind = "a function"


class Class(Thing):
    """A class of the text; `base` is the contract that it derives from, if it is a flow."""

    def __init__(self, name: str, bases: Sequence["Class"], base: type[vFlow] | None, names: dict[str, object],
                 line: int = 0) -> None:
        self.name = name
        self.line = line
        self.names = names
        self.base = base
        self.registered: tuple[str, ...] = ()
        self.order: list[Class] = [self, *_above(name, bases)]
        if len(self.order) > MOST_CLASSES:
            raise FlowContractError(f"{name} derives from more than {MOST_CLASSES} classes")
        for value in names.values():
            function = value.function if isinstance(value, Marked) else value
            if isinstance(function, Function) and function.owner is None:
                function.owner = self

    @property
    def kind(self) -> str:  # type: ignore[override]
        return f"the class {self.name}"

    def find(self, name: str, after: "Class | None" = None) -> tuple[object, bool]:
        """What the class or one above it (above `after`, if given) calls `name`, and whether there is such a thing."""
        order = self.order if after is None or after not in self.order else self.order[self.order.index(after) + 1:]
        for cls in order:
            if name in cls.names:
                return cls.names[name], True
        return None, False

    def known(self) -> list[str]:
        return [name for cls in self.order for name in cls.names]

    def member(self, name: str) -> object:
        found, there = self.find(name)
        if there:
            return bound(found, self) if isinstance(found, Marked) else found
        if name == "__init__":
            return NOTHING
        raise FlowContractError(f"{self.kind} has no {name}", hint=nearest(name, self.known()))


def _above(name: str, bases: Sequence[Class]) -> Iterator[Class]:
    """What is above a class, in the order in which Python looks there. Raises FlowContractError where there is none."""
    chains = [*(one.order for one in bases), list(bases)]
    while chains := [chain for chain in chains if chain]:
        first = next((chain[0] for chain in chains if not any(chain[0] in other[1:] for other in chains)), None)
        if first is None:
            raise FlowContractError(f"the classes above {name} stand in no order",
                                    hint="Name a class before those that it derives from, and once.")
        yield first
        chains = [chain[chain[0] is first:] for chain in chains]


def bound(found: object, to: object) -> object:
    """A member of a class as it is seen from an instance."""
    if isinstance(found, Function):
        return Bound(found, to)
    if not isinstance(found, Marked):
        return found
    if found.mark == "staticmethod":
        return found.function
    if found.mark == "property":
        return found.function.call([to], {})
    return Bound(found.function, to.cls if isinstance(to, Instance) else to)


class Instance(Thing):
    """An object of a class of the text: what it keeps is what was assigned to it."""

    def __init__(self, cls: Class) -> None:
        self.cls = cls
        self.attributes: dict[str, object] = {}

    @property
    def kind(self) -> str:  # type: ignore[override]
        return f"the {self.cls.name}"

    def member(self, name: str) -> object:
        if name in self.attributes:
            return self.attributes[name]
        found, there = self.cls.find(name)
        if not there:
            known = [*self.attributes, *self.cls.known()]
            raise FlowContractError(f"self.{name} does not exist", hint=nearest(name, known))
        return bound(found, self)

    def set_member(self, name: str, value: object) -> None:
        if len(self.attributes) >= MOST_ATTRIBUTES:
            raise FlowContractError(f"more than {MOST_ATTRIBUTES:,} attributes on self")
        self.attributes[name] = value


@dataclass(eq=False)
class Super(Thing):
    """super() in a method of `owner`."""

    owner: Class
    instance: Instance
    kind = "super()"

    def member(self, name: str) -> object:
        found, there = self.instance.cls.find(name, after=self.owner)
        if there:
            return bound(found, self.instance)
        if name == "__init__":
            return NOTHING
        raise FlowContractError(f"no class above {self.owner.name} has {name}")


class Builtin(Thing):
    """A function of ours under a name that Python knows; `types` are what isinstance takes it for."""

    def __init__(self, name: str, function: Callable[..., object], types: tuple[type, ...] = ()) -> None:
        self.name = name
        self.types = types
        self._function = function

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.name

    def call(self, args: Args, named: Named) -> object:
        try:
            return self._function(*args, **named)
        except PYTHON_ERRORS as error:
            raise FlowContractError(f"{self.name}: {str(error)[:200]}") from error


NOTHING = Builtin("__init__", lambda *args, **named: None)


@dataclass(eq=False)
class Module(Thing):
    """A module that a flow may import: its names, and what to say of others."""

    name: str
    names: Mapping[str, object]
    hint: str = ""

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.name

    def find(self, name: str) -> object:
        """What it calls `name`; None if nothing."""
        return self.names.get(name)

    def member(self, name: str) -> object:
        found = self.find(name)
        if found is None:
            hint = self.hint or HINTS.get(name) or nearest(name, list(self.names))
            raise UnknownOp(f"there is no {self.name}.{name}", hint=hint)
        return found


@dataclass(eq=False)
class Hint(Thing):
    """A name that only annotations and arguments need: a type, a dtype."""

    name: str

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.name

    def member(self, name: str) -> object:
        return Hint(f"{self.name}.{name}"[-MOST_NAME:])

    def item(self, key: object) -> object:
        return self

    def call(self, args: Args, named: Named) -> object:
        raise FlowContractError(f"{self.name} stands for annotations only and computes nothing")


@dataclass(eq=False)
class Kind(Thing):
    """A kind of exception; called, it is one."""

    name: str
    text: str = ""

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.name

    def call(self, args: Args, named: Named) -> object:
        return Kind(self.name, " ".join(arg for arg in args if isinstance(arg, str)))
