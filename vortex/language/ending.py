"""What is said of a forward_indexer that does not end in one Selection."""
import ast
from collections.abc import Sequence

from vortex.errors import Fix, NoSelection
from vortex.ir import SELECTION, Lead, Node
from vortex.language.ops.shapes import shown
from vortex.language.place import Source
from vortex.language.symbols import Value

UNITED = "Several are united: return a | b."


def not_a_selection(chosen: object, source: Source, line: int) -> NoSelection:
    """The refusal of what forward_indexer returns, with the edit that makes a Selection of it."""
    parts = chosen if isinstance(chosen, tuple | list) else []
    several = len(parts) > 1 and all(isinstance(part, Value) and part._node.type == SELECTION for part in parts)
    told = f"{len(parts)} selections, not one" if several else f"{_returned(chosen)}, not a Selection"
    return NoSelection(f"forward_indexer returns {told}", where=source.where(line),
                       hint=UNITED if several else "End it with: return ops.topk(score).",
                       fix=_fix(chosen, source.line(line), several))


def _returned(chosen: object) -> str:
    return f"a tensor {chosen}" if isinstance(chosen, Value) else "nothing" if chosen is None else shown(chosen)


def _parts(text: str) -> list[ast.expr]:
    """The members of a returned tuple."""
    node = ast.parse(text.removeprefix("return "), mode="eval").body
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


def _fix(chosen: object, line: str, several: bool) -> Fix | None:
    text, indent = line.strip(), line[:len(line) - len(line.lstrip())]
    if text.count("(") != text.count(")"):
        return None
    if several and text.startswith("return "):
        return Fix(text, f"return {' | '.join(map(ast.unparse, _parts(text)))}")
    if isinstance(chosen, Value) and text.startswith("return ") and chosen._node.type.lead is Lead.BLOCK:
        wide = [axis + 1 for axis in (1, 0) if chosen._node.type.shape[axis] > 1]
        score = text.removeprefix("return ")
        score = f"({score})" if wide and not score.isidentifier() else score
        return Fix(text, f"return ops.topk({score}{''.join(f'.max(dim={axis})' for axis in wide)})")
    if chosen is None and text.startswith("ops."):
        return Fix(text, f"return {text}")
    name = text.partition(" = ")[0]
    if chosen is None and name.isidentifier() and name != text:
        return Fix(text, f"{text}\n{indent}return ops.topk({name})")
    return None


def check_one_selection(nodes: Sequence[Node], chosen: int, source: Source) -> None:
    """Raises NoSelection where a selection is made that is no part of the one that is returned."""
    wanted = {chosen}
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
        elif nodes[index].type == SELECTION:
            raise NoSelection("this selection is not returned", where=source.where(nodes[index].line),
                              hint=f"{UNITED} One that is not wanted is left out.")
