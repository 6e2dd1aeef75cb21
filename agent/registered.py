"""The flows that one text registers: their names, and a text for each of several."""
import ast
import re

from vortex.language.mend import parsed

REGISTERED = re.compile(r"""^@(?:\w+\.)?register\(\s*(["'])([^"'\n]{1,100})\1""", re.MULTILINE)
A_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def names_in(source: str) -> str:
    """The name that the loader will take: the last that is registered, or else that of the last class; empty without one."""
    registered = REGISTERED.findall(source)
    if registered:
        return str(registered[-1][1])
    classes = A_CLASS.findall(source)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", classes[-1]).lower() if classes else ""


def one_each(source: str) -> tuple[str, ...]:
    """A text for each flow that `source` registers, without the others that it does not build on."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (source,)
    flows = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef) and _is_registered(node)}
    if len(flows) < 2:
        return (source,)
    return tuple(_without(source, [flows[name] for name in flows.keys() - _needed(kept, flows)]) for kept in flows)


def _is_registered(node: ast.ClassDef) -> bool:
    called = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
    return any(ast.unparse(function).split(".")[-1] == "register" for function in called)


def _needed(name: str, flows: dict[str, ast.ClassDef]) -> set[str]:
    """A flow and those that it names, and those that they name."""
    needed, waiting = {name}, [name]
    while waiting:
        named = {node.id for node in ast.walk(flows[waiting.pop()]) if isinstance(node, ast.Name)} & flows.keys()
        waiting.extend(named - needed)
        needed |= named
    return needed


def _without(source: str, dropped: list[ast.ClassDef]) -> str:
    lines = source.split("\n")
    for node in sorted(dropped, key=lambda node: -node.lineno):
        begin = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        del lines[begin - 1:node.end_lineno]
    return "\n".join(lines).strip("\n") + "\n"
