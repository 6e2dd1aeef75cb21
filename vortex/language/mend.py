"""Finds the expression that a refusal is about, and fits a proposed fix to the text of the flow."""
import ast
import re
import warnings
from dataclasses import replace
from types import CodeType, TracebackType

from vortex.errors import Fix, FlowError, VortexError
from vortex.language.advice import advice

Node = ast.expr | ast.stmt
Position = tuple[int, int, int, int]          # first line, column, last line, column: as syntax trees count them
ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)
SHORT = 8                                     # an edit of less is shown with what stands around it
BYTE_ORDER_MARK = "\ufeff"                    # as some editors begin a file
LINE_ENDS = re.compile("\r\n|\r|\n")


def lines_of(text: str) -> list[str]:
    """Lines as Python counts them."""
    return LINE_ENDS.split(text)


def parsed(text: str, path: str = "<flow>") -> ast.Module:
    """The syntax tree of a text; what Python would warn of is not for the terminal. Raises what ast.parse raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text.removeprefix(BYTE_ORDER_MARK), path)


def position(trace: TracebackType | None, path: str) -> Position | None:
    """What the innermost frame of `path` was computing."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            found = _instruction(trace.tb_frame.f_code, trace.tb_lasti)
        trace = trace.tb_next
    return found


def _instruction(code: CodeType, offset: int) -> Position | None:
    ends = list(code.co_positions())[offset // 2]
    if any(end is None for end in ends):
        return None
    line, last_line, column, last_column = (end or 0 for end in ends)
    return line, column, last_line, last_column


def place_of(node: ast.AST) -> Position | None:
    """Where a node stands, if it has a place of its own."""
    if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
        return None
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def settle(error: VortexError, text: str, at: Position | None) -> None:
    """Says which expression of the line `error` is about and what to change, and makes its fix one of that line; a fix
    that does not fit goes.
    """
    fix, error.fix = error.fix, None
    lines, number = lines_of(text), error.where.line
    if not 0 < number <= len(lines):
        return
    line = lines[number - 1]
    node, around = _found(text, at) if at is not None else (None, [])
    here: Node | None = node if node is not None and _alone(node, number) else None
    if fix is None and node is not None and isinstance(error, FlowError):
        fix, advised = _advised(error, node, around)
        here = advised if _alone(advised, number) else None
        if fix is not None and here is None:
            fix = fix if fix.line else Fix(span(lines, advised), fix.new, line=advised.lineno)
    if here is not None:
        _point_out(error, line, here)
    if fix is not None and (fix.line not in (0, number) or "\n" in fix.old):
        error.fix = _of_whole_line(fix, lines[(fix.line or number) - 1]) if _stands(fix, lines, number) else None
    elif fix is not None:
        error.fix = _fitted(fix, line, here)


def span(lines: list[str], node: Node) -> str:
    """The text of a node, which may stand on several lines."""
    within = lines[node.lineno - 1:node.end_lineno]
    within[-1] = within[-1].encode()[:node.end_col_offset].decode(errors="replace")
    within[0] = within[0].encode()[node.col_offset:].decode(errors="replace")
    return "\n".join(within)


def _of_whole_line(fix: Fix, line: str) -> Fix:
    """An edit of another line, shown with all of that line."""
    return fix if "\n" in fix.old else Fix(line.strip(), line.replace(fix.old, fix.new).strip(), line=fix.line)


def _stands(fix: Fix, lines: list[str], number: int) -> bool:
    at = (fix.line or number) - 1
    return 0 <= at < len(lines) and "\n".join(lines[at:at + 1 + fix.old.count("\n")]).count(fix.old) == 1


def _alone(node: Node, number: int) -> bool:
    return node.lineno == node.end_lineno == number


def _advised(error: FlowError, node: ast.expr, around: list[ast.AST]) -> tuple[Fix | None, Node]:
    """The edit that is advised, and what it replaces."""
    found = advice(error, node, around)
    if found is None:
        return None, node
    if found.hint is not None:
        error.hint = found.hint
    if found.message:
        error.message = found.message
        error.args = (found.message,)
    return found.fix or (Fix("", found.new) if found.new else None), found.node


def _found(text: str, at: Position) -> tuple[ast.expr | None, list[ast.AST]]:
    """The expression at a place and what it stands in, innermost first."""
    try:
        waiting: list[tuple[ast.AST, list[ast.AST]]] = [(parsed(text), [])]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, []
    while waiting:
        node, around = waiting.pop()
        if isinstance(node, ast.expr) and place_of(node) == at:
            return node, around
        waiting.extend((child, [node, *around]) for child in ast.iter_child_nodes(node) if _spans(child, at))
    return None, []


def _spans(node: ast.AST, at: Position) -> bool:
    """May `at` lie within?"""
    place = place_of(node)
    return place is None or (place[:2] <= at[:2] and at[2:] <= place[2:]) or isinstance(node, ast.FunctionDef | ast.ClassDef)


def _point_out(error: VortexError, line: str, node: Node) -> None:
    start = len(line.encode()[:node.col_offset].decode(errors="replace"))
    indent = len(line) - len(line.lstrip())
    error.where = replace(error.where, expression=_text(line, node), column=start - indent + 1)


def _text(line: str, node: Node) -> str:
    """The text of an expression that stands on `line` alone."""
    return line.encode()[node.col_offset:node.end_col_offset].decode(errors="replace")


def _parts(line: str, node: Node) -> dict[str, ast.expr]:
    if isinstance(node, ast.BinOp):
        return {"<left>": node.left, "<right>": node.right}
    if isinstance(node, ast.Call):
        of = {"<self>": node.func.value} if isinstance(node.func, ast.Attribute) else {}
        return {**of, **({"<arg>": node.args[0]} if node.args else {})}
    return {}


def _fitted(fix: Fix, line: str, node: Node | None) -> Fix | None:
    old, new = fix.old, fix.new
    whole = _text(line, node) if node is not None else ""
    for name, part in _parts(line, node).items() if node is not None else ():
        text = _text(line, part)
        old = old.replace(name, text)
        new = new.replace(name, text if isinstance(part, ATOMS) else f"({text})")
    old = old or whole
    if not old or re.search("<(left|right|arg|self)>", old + new):
        return None
    if line.count(old) == 1 and old != whole and ((len(old) >= SHORT and new) or old not in whole):
        return Fix(old, new)
    if node is None or old not in whole:
        return None
    mended = whole.replace(old, new, 1)
    start = len(line.encode()[:node.col_offset].decode(errors="replace"))
    mended = _bound(line[:start].lstrip(), mended, line[start + len(whole):].rstrip())
    if line.count(whole) == 1:
        return Fix(whole, mended)
    return Fix(line.strip(), (line[:start] + mended + line[start + len(whole):]).strip())


def _bound(before: str, new: str, after: str) -> str:
    """`new` in parentheses where it would else be torn apart by what stands around it on the line."""
    line = f"{before}{new}{after}".removesuffix(":")
    try:
        if isinstance(ast.parse(new, mode="eval").body, ATOMS):
            return new
        safe = ast.dump(parsed(f"{before}({new}){after}".removesuffix(":")))
    except SyntaxError:
        return new            # a statement, or a line that does not stand alone
    try:
        return new if ast.dump(parsed(line)) == safe else f"({new})"
    except SyntaxError:
        return f"({new})"
