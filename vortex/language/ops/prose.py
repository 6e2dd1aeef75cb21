"""What is told of an op: one paragraph and its parts, made from the record, for prompts, `vortex ops` and the docs."""
from collections.abc import Sequence
from typing import Any

from vortex.errors import FlowError
from vortex.ir import SELECTION, Geometry, Lead, Type
from vortex.language.ops.record import OPS, REQUIRED, Op, Sample, Upstream

OPERANDS = ("x", "y")
MOST_EXAMPLES = 3


def listed() -> list[Op]:
    """The ops that people write, by name."""
    return sorted((op for op in OPS.values() if op.usage), key=lambda op: op.name)


def called(name: str) -> list[Op]:
    """The ops of that name, or else those that an op object of the upstream stands for."""
    ops = listed()
    return [op for op in ops if op.name == name] or \
        [op for op in ops if name in (*(record.name for record in op.upstream), *(call.split("(")[0] for call in op.objects))]


def paragraph(op: Op) -> str:
    """Name, usage, meaning, side, shapes, the upstream's spelling and what it costs, as one piece of text."""
    told = tell(op)
    parts = [f"{op.name}, written {op.usage}: {op.meaning}", f"In {' and '.join(told['sides'])}."]
    if told["shapes"]:
        parts.append(f"For example {'; '.join(told['shapes'])}.")
    if told["upstream"]:
        parts.append(f"Upstream: {'; '.join(told['upstream'])}.")
    if told["operations"] or told["bytes"]:
        first = " of the first" if len(told["shapes"]) > 1 else ""
        parts.append(f"Cost{first}, on its own: operations {told['operations']}, bytes {told['bytes']} {told['per']}.")
    return " ".join(parts)


def tell(op: Op) -> dict[str, Any]:
    """The parts of the paragraph; operations and bytes are those of the first example, unfused, in float32."""
    shown = [(sample, out) for sample in op.samples if (out := _result(op, sample)) is not None]
    args, out = (shown[0][0].args, shown[0][1]) if shown else ((), SELECTION)
    return {
        "name": op.name, "usage": op.usage, "meaning": op.meaning, "sides": sorted(str(side) for side in op.sides),
        "shapes": [_example(sample, made) for sample, made in shown if sample.args][:MOST_EXAMPLES],
        "upstream": [*dict.fromkeys(_constructed(record) for record in op.upstream),
                     *(f"{call} is {means}" for call, means in op.objects.items())],
        "operations": op.operations(args, out) if shown else 0, "bytes": op.bytes_moved(args, out) if shown else 0,
        "per": _per(args, out),
    }


def _result(op: Op, sample: Sample) -> Type | None:
    """None where the record cannot say it: what is read from a field has the type of what was written."""
    try:
        return op.infer(sample.args, sample.attrs, Geometry())
    except FlowError:
        return None


def _per(args: Sequence[Type], out: Type) -> str:
    return "a block" if any(t.lead is Lead.BLOCK for t in (*args, out)) else "a row"


def _named(type_: Type) -> str:
    return "a Selection" if type_ == SELECTION else str(type_)


def _example(sample: Sample, out: Type) -> str:
    """`[row, 4, 8], [block, 8, 3] make [block, 4, 3]`, with the attributes beside it."""
    attrs = ", ".join(f"{name}={value!r}" for name, value in sample.attrs.items())
    given = f" with {attrs}" if attrs else ""
    return f"{', '.join(_named(t) for t in sample.args)}{given} {'makes' if len(sample.args) == 1 else 'make'} {_named(out)}"


def _constructed(record: Upstream) -> str:
    """`Softmax(dim=0, scale=1.0)(x) is ops.softmax(x, scale)`."""
    params = ", ".join(name if default is REQUIRED else f"{name}={default!r}" for name, default in record.params)
    return f"{record.name}({params})({', '.join(OPERANDS[:record.tensors])}) is {record.means}"
