"""Runs the Python of a flow by walking its syntax tree.

Nothing is compiled, and no object of Python's own is within reach of the text, whatever it says.
"""
import ast
from collections.abc import Callable, Mapping
from typing import Any

from vortex.errors import FlowContractError, ForbiddenSyntax, VortexError
from vortex.language.calls import SPEND
from vortex.language.expressions import Expressions, Returned
from vortex.language.flow import vFlow
from vortex.language.guard import Guard
from vortex.language.imports import imported
from vortex.language.mend import place_of
from vortex.language.ops.shapes import shown
from vortex.language.place import Source
from vortex.language.things import NOTHING, Class, Function, Hint, Kind, Marked, Module, Scope, Thing

MARKS = ("staticmethod", "classmethod", "property")
IGNORED = ("torch.no_grad", "torch.inference_mode", "override", "typing.override", "abstractmethod",
           "abc.abstractmethod")
BREAK, CONTINUE = object(), object()


class Contract(Thing):
    """vFlow or vFlowMLA in the text: what a flow derives from."""

    def __init__(self, base: type[vFlow]) -> None:
        self.base = base
        self.kind = base.__name__

    def member(self, name: str) -> object:
        return NOTHING if name == "__init__" else super().member(name)


class Evaluator(Expressions):
    """Runs one text, which may import `modules`."""

    def __init__(self, modules: Mapping[str, Module], guard: Guard | None = None) -> None:
        super().__init__(guard or Guard())
        self.modules = modules
        self.scope = Scope()

    def begin(self) -> None:
        """Before the flow is read anew."""
        self.guard.steps = 0
        self.calls = 0

    def placed(self, source: Source, body: Callable[..., Any], *args: object) -> Any:
        """Calls `body`; what goes wrong in the flow's Python is placed in `source`."""
        token = SPEND.set(self.guard.step)
        try:
            return body(*args)
        except VortexError as error:
            if not error.where.line:
                error.at(source.where(self.line()))
                source.settle(error, place_of(self.at))
            raise error from None
        except (RecursionError, MemoryError):
            raise FlowContractError("the flow is nested too deeply", where=source.where(self.line())) from None
        finally:
            SPEND.reset(token)

    def run(self, tree: ast.Module) -> None:
        """Executes the text itself: its imports, constants, functions and classes."""
        self.block(tree.body, self.scope)

    def block(self, body: list[ast.stmt], scope: Scope) -> object:
        for node in body:
            self.at = node
            ending = STATEMENTS[type(node)](self, node, scope)
            if ending is not None:
                return ending
        return None

    def _expression(self, node: ast.Expr, scope: Scope) -> None:
        self.evaluate(node.value, scope)

    def _pass(self, node: ast.stmt, scope: Scope) -> None:
        pass

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        for target in node.targets:
            self.bind(target, value, scope)

    def _annotated(self, node: ast.AnnAssign, scope: Scope) -> None:
        if node.value is not None:
            self.bind(node.target, self.evaluate(node.value, scope), scope)

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> None:
        old = self.evaluate(node.target, scope)
        value = self.evaluate(node.value, scope)
        self.at = node
        new = self.guard.binary(type(node.op).__name__, old, value)
        if isinstance(old, list) and isinstance(new, list):
            old[:] = new      # other names of the list see it, as Python has it
            new = old
        self.bind(node.target, new, scope)

    def _if(self, node: ast.If, scope: Scope) -> object:
        return self.block(node.body if self.asks(node.test, scope) else node.orelse, scope)

    def _for(self, node: ast.For, scope: Scope) -> object:
        items = self.evaluate(node.iter, scope)
        self.at = node.iter
        for one in self.guard.each(items):
            self.bind(node.target, one, scope)
            ending = self.block(node.body, scope)
            if ending is BREAK:
                return None
            if ending is not None and ending is not CONTINUE:
                return ending
            self.at = node
        return self.block(node.orelse, scope)

    def _return(self, node: ast.Return, scope: Scope) -> Returned:
        return Returned(self.evaluate(node.value, scope) if node.value is not None else None)

    def _raise(self, node: ast.Raise, scope: Scope) -> None:
        raised = self.evaluate(node.exc, scope) if node.exc is not None else None
        self.at = node
        if not isinstance(raised, Kind):
            raise FlowContractError(f"{shown(raised)} is raised", hint='Write raise ValueError("what is wrong").')
        raise FlowContractError(raised.text or raised.name, hint="The flow itself refuses this.")

    def _assert(self, node: ast.Assert, scope: Scope) -> None:
        if self.asks(node.test, scope):
            return
        told = self.evaluate(node.msg, scope) if node.msg is not None else f"{ast.unparse(node.test)[:200]} does not hold"
        self.at = node
        raise FlowContractError(self.guard.shown(told), hint="The flow itself refuses this.")

    def _delete(self, node: ast.Delete, scope: Scope) -> None:
        for target in node.targets:
            assert isinstance(target, ast.Name)
            scope.names.pop(target.id, None)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        scope.names.update(imported(node, self.modules))

    def _function(self, node: ast.FunctionDef, scope: Scope) -> None:
        defaults = tuple(self.evaluate(default, scope) for default in node.args.defaults)
        named = {arg.arg: self.evaluate(default, scope) for arg, default in
                 zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if default is not None}
        outer = scope.outer if scope.of_class and scope.outer is not None else scope
        made: object = Function(node.name, node, defaults, named, outer, self)
        for decorator in reversed(node.decorator_list):
            made = self._decorated(made, decorator, scope)
        scope.names[node.name] = made

    def _decorated(self, made: object, decorator: ast.expr, scope: Scope) -> object:
        if isinstance(decorator, ast.Name) and decorator.id in MARKS and isinstance(made, Function):
            return Marked(decorator.id, made)
        name = ast.unparse(decorator)[:40]
        if name.split("(")[0] in IGNORED:
            return made
        self.at = decorator
        raise ForbiddenSyntax(f"a function is decorated by {name}", hint='Only classes are: @register("name").')

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        bases = [self.evaluate(base, scope) for base in node.bases]
        self.at = node
        wrong = next((base for base in bases if not isinstance(base, Class | Contract | Hint)), None)
        if wrong is not None:
            raise ForbiddenSyntax(f"class {node.name[:40]} has unusual bases", hint="Derive from vFlow.")
        inner = Scope(scope, of_class=True)
        self.block(node.body, inner)
        classes = [base for base in bases if isinstance(base, Class)]
        contracts = [b.base for b in bases if isinstance(b, Contract)] + [c.base for c in classes if c.base is not None]
        made: object = Class(node.name, classes, contracts[0] if contracts else None, inner.names, node.lineno)
        for decorator in reversed(node.decorator_list):
            function = self.evaluate(decorator, scope)
            self.at = decorator
            made = self.called(function, [made], {})
        scope.names[node.name] = made


STATEMENTS: dict[type[ast.stmt], Callable[[Evaluator, Any, Scope], object]] = {
    ast.Expr: Evaluator._expression, ast.Pass: Evaluator._pass, ast.Assign: Evaluator._assign,
    ast.AnnAssign: Evaluator._annotated, ast.AugAssign: Evaluator._augmented, ast.If: Evaluator._if, ast.For: Evaluator._for,
    ast.Return: Evaluator._return, ast.Break: lambda self, node, scope: BREAK, ast.Raise: Evaluator._raise,
    ast.Continue: lambda self, node, scope: CONTINUE, ast.Assert: Evaluator._assert, ast.Delete: Evaluator._delete,
    ast.Import: Evaluator._import, ast.ImportFrom: Evaluator._import, ast.FunctionDef: Evaluator._function,
    ast.ClassDef: Evaluator._class,
}
