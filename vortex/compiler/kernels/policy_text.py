"""A budget policy as the text of a Triton function of tiles of rows.

To be built without contraction of a product and a sum (enable_fp_fusion=False), as the host evaluates it.
"""
from collections.abc import Callable, Mapping

from vortex.compiler.kernels.policy import Line, straight
from vortex.policy import INPUTS, LARGEST, SMALLEST, Kind, Policy

TYPES: Mapping[Kind, str] = {"int": "tl.int32", "float": "tl.float32", "double": "tl.float64"}
WORDS = {"negative": "-{0}", "+": "{0} + {1}", "-": "{0} - {1}", "*": "{0} * {1}",
         "where": "tl.where({0} != 0, {1}, {2})", "!": "({0} == 0).to(tl.int32)", "truth": "({0} != 0).to(tl.int32)",
         "ceil": "tl.ceil({0})", "floor": "tl.floor({0})",
         **{op: f"({{0}} {op} {{1}}).to(tl.int32)" for op in ("<", "<=", ">", ">=", "==", "!=")}}
# A divisor of ints, made harmless. Nested: the interpreter cannot unite the truth of a number with that of a tile.
SAFE = f"tl.where({{1}} == -1, tl.where({{0}} == {SMALLEST}, 1, -1), tl.where({{1}} == 0, 1, {{1}}))"
LESSER, GREATER = (f"tl.where({{1}} {sign} {{0}}, {{1}}, tl.where({{0}} == {{0}}, {{0}}, {{1}}))" for sign in "<>")
# Division and root are spelled out where Triton's plain ones are approximations.
BY_KIND: Mapping[tuple[str, Kind], str] = {
    ("/", "int"): "{0} // {1}", ("%", "int"): "{0} % {1}",
    ("/", "float"): "tl.div_rn({0}, {1})", ("/", "double"): "{0} / {1}",
    ("abs", "int"): "tl.where({0} < 0, -{0}, {0})", ("abs", "float"): "tl.abs({0})", ("abs", "double"): "tl.abs({0})",
    ("min", "int"): "tl.minimum({0}, {1})", ("min", "float"): LESSER, ("min", "double"): LESSER,
    ("max", "int"): "tl.maximum({0}, {1})", ("max", "float"): GREATER, ("max", "double"): GREATER,
    ("sqrt", "float"): "tl.sqrt_rn({0})", ("sqrt", "double"): "tl.sqrt({0})",
}


def policy_text(policy: Policy, name: str = "allowed_of") -> str:
    """A @triton.jit function of INPUTS, each a tensor of its kind (int32, float32); int32 of the same shape."""
    lines = straight(policy)
    names = [line.name or f"v{place}" for place, line in enumerate(lines)]
    body = [f"    {names[place]} = {_said(line, lines, names.__getitem__)}\n"
            for place, line in enumerate(lines) if line.op != "input"]
    return f"@triton.jit\ndef {name}({', '.join(INPUTS)}):\n{''.join(body)}    return {names[-1]}\n"


def _said(line: Line, lines: tuple[Line, ...], name: Callable[[int], str]) -> str:
    args = [name(arg) for arg in line.args]
    if line.op == "number":
        value = int(line.value) if line.kind == "int" else float(line.value)
        return f"tl.full((), {value!r}, {TYPES[line.kind]})"
    if line.op == "to":
        return _converted(args[0], lines[line.args[0]].kind, line.kind)
    if line.op in ("/", "%") and line.kind == "int" and not _harmless(lines[line.args[1]]):
        args[1] = SAFE.format(*args)
    return BY_KIND.get((line.op, line.kind), WORDS.get(line.op, "")).format(*args)


def _harmless(divisor: Line) -> bool:
    return divisor.op == "number" and divisor.value not in (0, -1)


def _converted(value: str, kind: Kind, wanted: Kind) -> str:
    """A float outside of the ints, or none at all, becomes 0; the limits are numbers of its own kind."""
    if wanted != "int" or kind == "int":
        return f"{value}.to({TYPES[wanted]})"
    above = f"{value} >= {SMALLEST}.0" if kind == "float" else f"{value} > {SMALLEST - 1}.0"
    return f"tl.where(({above}) & ({value} < {LARGEST + 1}.0), {value}, 0.0).to(tl.int32)"
