"""Computes the expressions of a flow's Python: every name, call and member is looked up in tables of ours."""
import ast
from collections.abc import Callable, Mapping
from typing import Any

from vortex.errors import BadArgument, FlowContractError, ForbiddenSyntax
from vortex.language.calls import nearest
from vortex.language.guard import Guard
from vortex.language.members import item, member, set_item
from vortex.language.ops.shapes import shown
from vortex.language.place import PYTHON_ERRORS
from vortex.language.standard import builtins, unique
from vortex.language.symbols import Value
from vortex.language.things import Args, Class, Function, Instance, Named, Scope, Super, Thing

MOST_CALLS = 40        # calls within calls


def _close(name: str, known: list[str]) -> str:
    """A hint where a known name is like this one."""
    hint = nearest(name, known)
    return hint if hint.startswith("Did you mean") else ""


class Returned:
    """What a function returns, on its way out of the statements around it."""

    def __init__(self, value: object) -> None:
        self.value = value


class Expressions:
    """Computes expressions. `at` is the node that is being computed: where a refusal is placed."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.at: ast.AST = ast.Module([], [])
        self.builtins = builtins(self.guard)
        self.calls = 0

    def line(self) -> int:
        """The line that is being computed; of a method, that of its name."""
        node = self.at
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.end_lineno or node.lineno
        return int(getattr(node, "lineno", 0))

    def block(self, body: list[ast.stmt], scope: Scope) -> object:
        """Runs statements; None, or why they end early."""
        raise NotImplementedError

    def evaluate(self, node: ast.expr, scope: Scope) -> Any:
        self.guard.step()
        return EXPRESSIONS[type(node)](self, node, scope)

    def _constant(self, node: ast.Constant, scope: Scope) -> object:
        return node.value

    def _name(self, node: ast.Name, scope: Scope) -> object:
        name = node.id
        for one in scope.chain():
            if name in one.names:
                return one.names[name]
        if name in self.builtins:
            return self.builtins[name]
        self.at = node
        known = [*self.builtins, *(known for one in scope.chain() for known in one.names)]
        raise FlowContractError(f"NameError: name '{name[:40]}' is not defined", hint=_close(name, known))

    def _member(self, node: ast.Attribute, scope: Scope) -> object:
        of = self.evaluate(node.value, scope)
        self.at = node
        return member(of, node.attr, self.guard)

    def _item(self, node: ast.Subscript, scope: Scope) -> object:
        of, key = self.evaluate(node.value, scope), self.evaluate(node.slice, scope)
        self.at = node
        return item(of, key, self.guard)

    def _slice(self, node: ast.Slice, scope: Scope) -> slice:
        ends = [self.evaluate(end, scope) if end is not None else None for end in (node.lower, node.upper, node.step)]
        return slice(*ends)

    def _binary(self, node: ast.BinOp, scope: Scope) -> object:
        left, right = self.evaluate(node.left, scope), self.evaluate(node.right, scope)
        self.at = node
        return self.guard.binary(type(node.op).__name__, left, right)

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> object:
        value = self.evaluate(node.operand, scope)
        self.at = node
        return self.guard.unary(type(node.op).__name__, value)

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> object:
        value: object = None
        for part in node.values:
            value = self.evaluate(part, scope)
            self.at = part
            if part is not node.values[-1] and self.guard.truth(value) == isinstance(node.op, ast.Or):
                break
        return value

    def _compare(self, node: ast.Compare, scope: Scope) -> object:
        left = self.evaluate(node.left, scope)
        found: object = True
        for relation, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(right_node, scope)
            self.at = node
            try:
                found = self.guard.compare(type(relation).__name__, left, right)
            except PYTHON_ERRORS as error:
                raise FlowContractError(f"TypeError: {shown(left)} and {shown(right)} are not compared") from error
            if len(node.ops) > 1 and not self.guard.truth(found):
                return False
            left = right
        return found

    def _choice(self, node: ast.IfExp, scope: Scope) -> object:
        return self.evaluate(node.body if self.asks(node.test, scope) else node.orelse, scope)

    def several(self, nodes: list[ast.expr], scope: Scope) -> list[object]:
        """The values of expressions, some of which may be starred."""
        values: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.guard.listed(self.evaluate(node.value, scope))
            else:
                values.append(self.evaluate(node, scope))
        return values

    def _tuple(self, node: ast.Tuple, scope: Scope) -> object:
        return self.guard.sized(tuple(self.several(node.elts, scope)))

    def _list(self, node: ast.List, scope: Scope) -> object:
        return self.guard.sized(self.several(node.elts, scope))

    def _set(self, node: ast.Set, scope: Scope) -> object:
        return unique(self.guard, self.several(node.elts, scope))

    def _dict(self, node: ast.Dict, scope: Scope) -> object:
        made: dict[Any, object] = {}
        for key, value_node in zip(node.keys, node.values, strict=True):
            value = self.evaluate(value_node, scope)
            if key is None:
                if not isinstance(value, dict):
                    raise BadArgument(f"** is before {shown(value)}, which is not a dict")
                made.update(value)
            else:
                made[self.guard.key(self.evaluate(key, scope))] = value
        return self.guard.sized(made)

    def _turns(self, generators: list[ast.comprehension], scope: Scope) -> Any:
        """The scope of each turn of a comprehension."""
        if not generators:
            yield scope
            return
        first, *rest = generators
        items = self.evaluate(first.iter, scope)
        self.at = first.iter
        for one in self.guard.each(items):
            self.bind(first.target, one, scope)
            if all(self.asks(test, scope) for test in first.ifs):
                yield from self._turns(rest, scope)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Any:
        values: list[object] = []
        for turn in self._turns(node.generators, Scope(scope)):
            self.guard.room(values).append(self.evaluate(node.elt, turn))
        return unique(self.guard, values) if isinstance(node, ast.SetComp) else values

    def _dict_comprehension(self, node: ast.DictComp, scope: Scope) -> object:
        made: dict[Any, object] = {}
        for turn in self._turns(node.generators, Scope(scope)):
            self.guard.room(made)[self.guard.key(self.evaluate(node.key, turn))] = self.evaluate(node.value, turn)
        return made

    def _text(self, node: ast.JoinedStr, scope: Scope) -> str:
        parts = [str(part.value if isinstance(part, ast.Constant) else self.evaluate(part, scope)) for part in node.values]
        return self.guard.text("".join(parts))

    def _formatted(self, node: ast.FormattedValue, scope: Scope) -> str:
        value = self.evaluate(node.value, scope)
        self.at = node.value
        if isinstance(node.format_spec, ast.JoinedStr) and node.format_spec.values:
            spec = node.format_spec.values[0]
            assert isinstance(spec, ast.Constant)
            return self.guard.formatted(value, str(spec.value))
        return repr(value) if node.conversion == ord("r") and isinstance(value, str) else self.guard.shown(value)

    def _call(self, node: ast.Call, scope: Scope) -> object:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return self._super(node, scope)
        function = self.evaluate(node.func, scope)
        args = self.several(node.args, scope)
        named: dict[str, object] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, scope)
            more = {keyword.arg: value} if keyword.arg is not None else value
            if not isinstance(more, dict) or not all(isinstance(key, str) for key in more):
                raise BadArgument(f"** is before {shown(value)}, which is not a dict of names")
            named.update(more)
        self.at = node
        return self.called(function, args, named)

    def called(self, function: object, args: Args, named: Named) -> object:
        if isinstance(function, Class):
            return self.construct(function, args, named)
        if not isinstance(function, Thing):
            raise FlowContractError(f"{shown(function)} is not a function")
        at = self.at
        result = function.call(args, named)
        self.at = at
        return result

    def _super(self, node: ast.Call, scope: Scope) -> Super:
        """super() and super(Class, self)."""
        given = self.several(node.args, scope)
        self.at = node
        inner = next((one for one in scope.chain() if one.function is not None and one.function.owner is not None), None)
        if not given and inner is not None and inner.function is not None:
            given = [inner.function.owner, inner.names.get((inner.function.parameters or [""])[0])]
        if len(given) != 2 or not isinstance(given[0], Class) or not isinstance(given[1], Instance):
            raise FlowContractError("super() stands in a method of a class", hint="Write super().__init__().")
        return Super(given[0], given[1])

    def asks(self, test: ast.expr, scope: Scope) -> bool:
        """Whether a condition holds."""
        value = self.evaluate(test, scope)
        self.at = test
        return self.guard.truth(value)

    def bind(self, target: ast.expr, value: object, scope: Scope) -> None:
        """Gives a value to what stands left of an equals sign."""
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, scope)
        elif isinstance(target, ast.Attribute):
            of = self.evaluate(target.value, scope)
            self.at = target
            if not isinstance(of, Thing):
                raise ForbiddenSyntax(f".{target.attr} of {shown(of)} is assigned: things are kept on self",
                                      hint="Use a local name, an attribute of self, or a field of the cache.")
            of.set_member(target.attr, value)
        elif isinstance(target, ast.Subscript):
            of, key = self.evaluate(target.value, scope), self.evaluate(target.slice, scope)
            self.at = target
            set_item(of, key, value, self.guard)

    def _unpack(self, target: ast.Tuple | ast.List, value: object, scope: Scope) -> None:
        self.at = target
        values = list(value) if isinstance(value, Value) else self.guard.listed(value)
        starred = next((i for i, part in enumerate(target.elts) if isinstance(part, ast.Starred)), None)
        wanted = len(target.elts)
        if starred is not None and len(values) >= wanted - 1:
            more = len(values) - wanted + 1
            values[starred:starred + more] = [values[starred:starred + more]]
        if len(values) != wanted:
            raise FlowContractError(f"ValueError: {len(values)} values for {wanted} names")
        for part, one in zip(target.elts, values, strict=True):
            self.bind(part.value if isinstance(part, ast.Starred) else part, one, scope)

    # Functions and objects.

    def construct(self, cls: Class, args: Args = (), named: Named | None = None,
                  given: Mapping[str, object] | None = None) -> Instance:
        """An object of a class; `given` is on it before its __init__ runs."""
        made = Instance(cls)
        made.attributes.update(given or {})
        found, there = cls.find("__init__")
        if there and isinstance(found, Function):
            found.call([made, *args], named or {})
        elif args or named:
            raise FlowContractError(f"{cls.name} takes no arguments")
        return made

    def enter(self, function: Function, args: Args, named: Named) -> object:
        """Runs the body of a function. Raises FlowContractError for arguments that it does not take."""
        at = self.at
        scope = Scope(function.scope, self._arguments(function, list(args), dict(named)), function)
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise FlowContractError(f"more than {MOST_CALLS} calls within calls")
        ending = self.block(function.node.body, scope)
        self.calls -= 1
        self.at = at
        return ending.value if isinstance(ending, Returned) else None

    def _arguments(self, function: Function, args: list[object], named: dict[str, object]) -> dict[str, object]:
        signature, order = function.node.args, function.parameters
        values = dict(zip(order[function.required:], function.defaults, strict=True)) | dict(function.named)
        given = dict(zip(order, args, strict=False))
        twice = next((name for name in named if name in given), None)
        rest = {name: value for name, value in named.items() if name not in order and name not in
                [arg.arg for arg in signature.kwonlyargs]}
        missing = next((name for name in [*order, *(a.arg for a in signature.kwonlyargs)]
                        if name not in {**values, **given, **named}), None)
        problem = f"{twice} is given twice" if twice else f"{missing} is missing" if missing else \
            f"{len(args)} arguments are given" if len(args) > len(order) and signature.vararg is None else \
            f"{next(iter(rest))}= is not taken" if rest and signature.kwarg is None else ""
        if problem:
            raise FlowContractError(f"{function.name}({', '.join(order)}): {problem}")
        values |= given | {name: value for name, value in named.items() if name not in rest}
        if signature.vararg is not None:
            values[signature.vararg.arg] = tuple(args[len(order):])
        if signature.kwarg is not None:
            values[signature.kwarg.arg] = rest
        return values




EXPRESSIONS: dict[type[ast.expr], Callable[[Expressions, Any, Scope], object]] = {
    ast.Constant: Expressions._constant, ast.Name: Expressions._name, ast.Attribute: Expressions._member,
    ast.Subscript: Expressions._item, ast.Slice: Expressions._slice, ast.BinOp: Expressions._binary,
    ast.UnaryOp: Expressions._unary, ast.BoolOp: Expressions._boolean, ast.Compare: Expressions._compare,
    ast.IfExp: Expressions._choice, ast.Tuple: Expressions._tuple, ast.List: Expressions._list, ast.Set: Expressions._set,
    ast.Dict: Expressions._dict, ast.ListComp: Expressions._comprehension, ast.GeneratorExp: Expressions._comprehension,
    ast.SetComp: Expressions._comprehension, ast.DictComp: Expressions._dict_comprehension, ast.JoinedStr: Expressions._text,
    ast.FormattedValue: Expressions._formatted, ast.Call: Expressions._call,
}
