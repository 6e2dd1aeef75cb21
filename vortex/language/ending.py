"""What is said of a forward_indexer that does not end in one Selection."""
import ast
import re
from collections.abc import Sequence

from vortex.errors import Fix, NoSelection
from vortex.ir import SELECTION, Lead, Node
from vortex.language.mend import parsed
from vortex.language.names import made_of
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
    name, _, value = text.partition(" = ")
    if chosen is None and name.isidentifier() and value:
        ends = value.startswith(("ops.topk(", "ops.top_p(", "ops.threshold(", "ops.everything("))
        return Fix(text, f"{text}\n{indent}return {name if ends else f'ops.topk({name})'}")
    return None


def nothing_on_o(source: Source, number: int) -> NoSelection:
    """The refusal of a forward_indexer of op objects that ends without one; the fix uses the topK that the flow has."""
    line = source.line(number)
    text, indent = line.strip(), line[:len(line) - len(line.lstrip())]
    made = next((name for name, call in made_of(parsed(source.text)) if call in ("topK", "approxTopK")), "")
    name = text.removeprefix("return ").partition(" = ")[0]
    end = f"{made}({name}, o, ctx=ctx)"
    fix = Fix(text, end if text.startswith("return ") else f"{text}\n{indent}{end}") if made and name.isidentifier() else None
    return NoSelection("forward_indexer puts no selection on o", where=source.where(number), fix=fix,
                       hint="End it with topK: self.topk(score, o, ctx=ctx).")


def saved_before(source: Source, number: int, state: str) -> Fix | None:
    """The edit that saves a state before the return on this line: the name of the state, or what is returned by name."""
    line = source.line(number)
    text, indent = line.strip(), line[:len(line) - len(line.lstrip())]
    found = re.fullmatch(r"return ops\.\w+\((\w+)[^()]*\)", text)
    return Fix(text, f'cache["{state}"] = {found[1]}\n{indent}{text}') if found is not None else None


def _with(source: Source, made: int) -> Fix | None:
    """The edit that unites a selection, which a name holds, with what is returned after it."""
    name = source.line(made).strip().partition(" = ")[0]
    for number in range(made + 1, made + 40):
        text = source.line(number).strip()
        if text.startswith("return ") and name.isidentifier():
            return Fix(text, f"{text} | {name}", line=number) if text.count("(") == text.count(")") else None
    return None


def check_one_selection(nodes: Sequence[Node], chosen: int, source: Source) -> None:
    """Raises NoSelection where a selection is made that is no part of the one that is returned."""
    wanted = {chosen}
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
        elif nodes[index].type == SELECTION:
            raise NoSelection("this selection is not returned", where=source.where(nodes[index].line),
                              hint=f"{UNITED} One that is not wanted is left out.", fix=_with(source, nodes[index].line))
