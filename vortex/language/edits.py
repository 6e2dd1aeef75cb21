"""Edits of a flow's text that mend its contract: registration, signatures, declared fields, imports."""
import difflib
import re
from collections.abc import Mapping

from vortex.errors import Fix, FlowContractError, FlowSyntaxError, Where
from vortex.ir import Geometry
from vortex.language.place import Source
from vortex.language.unparsed import unparsed

CLASS = re.compile(r"^class (\w+)\((?:vFlow|vFlowMLA)\):[ \t]*$", re.MULTILINE)
CONTRACT = ("__init__", "create_cache", "forward_cache", "forward_indexer")
NOT_PYTHON = "A flow is a Python text: from vortex import ops, register, vFlow, and a class under @register."


def unregistered(source: Source) -> FlowContractError:
    """The refusal of a text that registers nothing."""
    found = CLASS.search(source.text)
    where, fix = Where(source.path), None
    if found is not None:
        where = source.where(source.text.count("\n", 0, found.start()) + 1)
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", found[1]).lower()
        fix = Fix(found[0], f'@register("{name}")\n{found[0]}')
    return FlowContractError("no flow is registered", where=where, fix=fix,
                             hint='Put @register("name") over a class that derives from vFlow.')


def signature(source: Source, line: int, name: str, wanted: str) -> Fix | None:
    """The head of a method on one line, as it should be."""
    found = re.search(rf"def {name}\(.*\):", source.line(line))
    return Fix(found[0], f"def {name}(self, {wanted}):") if found is not None else None


def misnamed(lines: Mapping[str, int], wanted: str, likely: str = "") -> Fix | None:
    """The method of `lines` that was meant to be called `wanted`: the nearest, or else the likely one."""
    free = [name for name in lines if name not in CONTRACT]
    close = difflib.get_close_matches(wanted, free, n=1, cutoff=0.6) or [likely] * bool(likely)
    return Fix(f"def {close[0]}(", f"def {wanted}(", line=lines[close[0]]) if close else None


def declaration(source: Source, begin: int, name: str) -> tuple[Where, Fix | None]:
    """Where create_cache, which begins at `begin`, names a field; and the edit that leaves the field out."""
    for line in range(begin, min(begin + 60, source.text.count("\n") + 2)):
        text = source.line(line)
        if f'"{name}"' in text or f"'{name}'" in text:
            entry = re.search(rf"""(["']){name}\1: \([^()]*\)(, ?|(?=\}}))""", text)
            return source.where(line), Fix(entry[0], "") if entry is not None else None
    return source.where(begin), None


def unread_of_several_lines(source: Source, line: int, name: str) -> Fix | None:
    """The edit that keeps what is written into a field that nothing reads as a local value; it ends on `line`."""
    opening = f'cache["{name}"] = '
    at = next((at for at in range(line, max(line - 20, 0), -1) if source.line(at).lstrip().startswith(opening)), 0)
    return Fix(opening, f"{name} = ", line=at) if at else None


def undeclared(source: Source, begin: int, name: str, shape: str) -> Fix | None:
    """The edit that declares a field in create_cache, which begins at `begin`."""
    for line in range(begin + 1, min(begin + 60, source.text.count("\n") + 2)):
        text = source.line(line)
        if "{" in text:
            head = text[:text.index("{") + 1].lstrip()
            rest = text[text.index("{") + 1:].lstrip()
            return Fix(head, f'{head}"{name}": {shape}{"" if rest.startswith("}") else ", "}', line=line)
    return None


def redeclared(source: Source, begin: int, name: str, shape: str) -> Fix | None:
    """The edit of a field's declaration to another shape."""
    where, fix = declaration(source, begin, name)
    if fix is None:
        return None
    old = fix.old.rstrip(", ")
    return Fix(old, f'{old[:old.index(":")]}: {shape}', line=where.line)


def shape_text(source: Source, begin: int, rows: int, cols: int, geometry: Geometry) -> str:
    """A shape in the words of create_cache's arguments, where they are the two sizes of keys and values."""
    found = re.search(r"def create_cache\(self, (\w+)[^,]*, (\w+)[^,]*\)", source.line(begin))
    names = {geometry.head_dim: found[2], geometry.block_size: found[1]} if found is not None else {}
    return f"({', '.join(str(size) if size == 1 else names.get(size, str(size)) for size in (rows, cols))})"


def not_python(source: Source, line: int, message: str) -> FlowSyntaxError:
    """The refusal of a text that does not parse."""
    line = line or source.text.count("\n", 0, source.text.find("\0")) + 1 if "\0" in source.text else line
    first = source.text.lstrip()[:3]
    hint = "The text begins with a Markdown fence: give the Python alone." if first == "```" else NOT_PYTHON
    return FlowSyntaxError(message, where=source.where(line), hint=hint, fix=unparsed(source, line, message))
