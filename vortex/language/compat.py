"""The public upstream's spelling: op objects that are made first and called later, with `ctx` and `loc`.

Each class comes from an `Upstream` record of an op; what touches fields or ends the flow is in `SPECIAL`.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vortex.errors import BadArgument, Fix, FlowContractError, NoSelection, ParameterError, ShapeMismatch, WrongSide
from vortex.ir import Geometry, Lead
from vortex.language.calls import MOST_NUMBERS, attribute
from vortex.language.fields import FieldRef
from vortex.language.ops.record import OPS, REQUIRED, Side, Upstream
from vortex.language.ops.shapes import shown
from vortex.language.symbols import Value, tape
from vortex.language.things import Args, Builtin, Hint, Module, Named, Thing, tensor_of

PACKAGES = {Side.CACHE: "vortex_torch.cache", Side.INDEXER: "vortex_torch.indexer"}
LOADED_FIRST = ("Softmax", "Normalize", "Conv1d", "topK", "approxTopK", "TopK")    # take no field as it lies in the pool
ENDS = ("topK", "approxTopK")
OPERANDS = ("x", "y")
MOST_DEPTH = 4


class Token(Thing):
    """`loc` or `ctx`: what the upstream's ops ask for, and ours do without."""

    def __init__(self, name: str) -> None:
        self.kind = name


class Context(Token):
    """`ctx`, with the sizes that the upstream's has."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__("ctx")
        self._sizes = {"block_size": geometry.block_size, "page_size": geometry.block_size, "head_dim": geometry.head_dim,
                       "group_size": geometry.group}

    def member(self, name: str) -> object:
        return self._sizes[name] if name in self._sizes else super().member(name)


class Output(Thing):
    """`o`: where the one selection of a flow is put."""

    kind = "o"

    def __init__(self) -> None:
        self.selection: Value | None = None

    def put(self, selection: Value) -> None:
        if self.selection is not None:
            raise NoSelection("a second selection is put on o", hint="A flow ends in one topK, approxTopK or Union.")
        self.selection = selection


class Listing(Thing):
    """One of the two results of TopK(k): a block table, or its lengths."""

    def __init__(self, kind: str, selection: Value) -> None:
        self.kind = kind
        self.selection = selection


class OpClass(Thing):
    """An op of the upstream as it is imported from one of its two packages: called, it makes an op object."""

    def __init__(self, record: Upstream, side: Side) -> None:
        self.record = record
        self.side = side
        self.kind = record.name

    def call(self, args: Args, named: Named) -> "OpObject":
        order = [name for name, _ in self.record.params]
        given = dict(zip(order, args, strict=False))
        unknown = next((name for name in named if name not in order or name in given), None)
        if len(args) > len(order) or unknown is not None:
            takes = ", ".join(order) or "nothing"
            fix = Fix("axis=", "dim=") if unknown == "axis" and "dim" in order else None
            raise BadArgument(f"{self.kind} does not take " + (f"{unknown}=" if unknown else f"{len(args)} arguments"),
                              hint=f"It takes {takes}.", fix=fix)
        params = {name: _plain(value) for name, value in {**dict(self.record.params), **given, **named}.items()}
        missing = next((name for name in order if params[name] is REQUIRED), None)
        if missing is not None:
            raise BadArgument(f"{self.kind} is made without {missing}", hint=f"It takes {', '.join(order)}.")
        self.check(params)
        return OpObject(self, params)

    def check(self, params: Mapping[str, Any]) -> None:
        """Raises BadArgument."""
        try:
            self.record.check(**params)
        except BadArgument as error:
            form = ", ".join(name if default is REQUIRED else f"{name}={default!r}" for name, default in self.record.params)
            error.hint = error.hint or f"It is made as {self.kind}({form})."
            raise


def _plain(value: object) -> object:
    """Numbers, texts and lists of them; a dtype by its name."""
    if value is REQUIRED:
        return value
    return value.name if isinstance(value, Hint) else attribute(value, [MOST_NUMBERS], MOST_DEPTH)


class OpObject(Thing):
    """An op with its parameters; it may be called as often as one likes."""

    def __init__(self, cls: OpClass, params: dict[str, Any]) -> None:
        self.cls = cls
        self.params = params
        self.kind = cls.kind

    def member(self, name: str) -> object:
        if name not in self.params:
            raise BadArgument(f"{self.kind} has no .{name}", hint=f"It has {', '.join(self.params) or 'nothing'}.")
        return self.params[name]

    def set_member(self, name: str, value: object) -> None:
        self.member(name)
        params = {**self.params, name: _plain(value)}
        self.cls.check(params)
        self.params = params

    def call(self, args: Args, named: Named) -> object:
        side = tape().side
        if side is not self.cls.side:
            raise WrongSide(f"{self.kind} of {PACKAGES[self.cls.side]} is called in {side}",
                            hint=f"Import the one of {PACKAGES[side]}, if there is one.")
        given = [arg for arg in args if not isinstance(arg, Token)]
        rest = {name: value for name, value in named.items() if name not in ("ctx", "loc")}
        special = SPECIAL.get(self.kind)
        return special(self, given, rest) if special is not None else self._written(given, rest)

    def _written(self, given: list[object], rest: dict[str, object]) -> object:
        wanted = self.cls.record.tensors
        given = [*given, *(rest.pop(name) for name in OPERANDS[len(given):wanted] if name in rest)]
        output = rest.pop("output", None)
        if self.cls.side is Side.CACHE and len(given) == wanted + 1:
            output = given.pop()
        self.takes(given, rest, wanted)
        if output is not None and not isinstance(output, FieldRef):
            raise BadArgument(f"the output of {self.kind} is {shown(output)}", hint='It is a field, cache["name"], or None.')
        value = self.write(given)
        return value if output is None else output.write(value)

    def takes(self, given: Sequence[object], rest: Mapping[str, object], wanted: int, *more: str) -> None:
        """Raises BadArgument for another number of operands."""
        form = f"op({', '.join([*OPERANDS[:wanted], *more, 'ctx=ctx'])})"
        if rest:
            raise BadArgument(f"{self.kind} does not take {next(iter(rest))}=", hint=f"Write {form}.")
        if len(given) != wanted + len(more):
            raise BadArgument(f"{self.kind} is called with {len(given)} operands and takes {wanted + len(more)}",
                              hint=f"Write {form}.")

    def write(self, operands: Sequence[object]) -> Value:
        """Writes the op down. Raises FlowError."""
        if any(isinstance(x, FieldRef) for x in operands) and (self.kind in LOADED_FIRST or self.params.get("dim") == 0):
            raise ShapeMismatch(f"{self.kind} ranges over the blocks of a row, and a field lies in the pool",
                                hint='Load it first: self.load = Load(), then self.load(cache["name"], ctx=ctx).')
        values = [self._operand(x) for x in operands]
        try:
            written: Value = self.cls.record.write(*values, **self.params)
        except ShapeMismatch as error:
            raise ShapeMismatch(f"{self.kind}({', '.join(map(str, values))}): {error.message.strip()}", hint=error.hint,
                                fix=error.fix if self.kind in ENDS else None) from None
        return written

    def _operand(self, given: object) -> Value:
        value = tensor_of(given)
        if isinstance(value, Value):
            return value
        raise BadArgument(f"{self.kind} takes tensors, not {given.kind if isinstance(given, Thing) else shown(given)}",
                          hint="A number belongs into the constructor." if isinstance(value, int | float) else "")


Special = Callable[[OpObject, list[object], dict[str, object]], object]


def _field(op: OpObject, given: object) -> FieldRef:
    if not isinstance(given, FieldRef):
        raise BadArgument(f"{op.kind} takes a field, not {given.kind if isinstance(given, Thing) else shown(given)}",
                          hint='Write cache["name"].')
    return given


def _end(op: OpObject, given: list[object], rest: dict[str, object]) -> None:
    given = [*given, *(rest.pop(name) for name in ("score", "x", "o") if name in rest)]
    op.takes(given, rest, 1, "o")
    if not isinstance(given[1], Output):
        raise BadArgument(f"{op.kind} is not given o", hint="Write op(score, o, ctx=ctx).")
    given[1].put(op.write(given[:1]))


def _listed(op: OpObject, given: list[object], rest: dict[str, object]) -> tuple[Listing, Listing]:
    op.takes(given, rest, 1)
    selection = op.write(given)
    return Listing("a block table", selection), Listing("lengths", selection)


def _united(op: OpObject, given: list[object], rest: dict[str, object]) -> None:
    op.takes(given, rest, 2, "o")
    pairs, output = given[:2], given[2]
    for pair in pairs:
        listings = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, Listing) for part in pair)
        if not listings or pair[0].selection is not pair[1].selection:  # type: ignore[index]  # a pair, as just seen
            raise BadArgument("Union takes the pairs that TopK(k) returns", hint="Write op(self.topk_a(x), self.topk_b(y), o).")
    if not isinstance(output, Output):
        raise BadArgument("Union is not given o", hint="Write op(a, b, o, ctx=ctx).")
    output.put(op.cls.record.write(*(pair[0].selection for pair in pairs)))  # type: ignore[index]  # pairs, as just seen


def _loaded(op: OpObject, given: list[object], rest: dict[str, object]) -> Value:
    op.takes(given, rest, 1)
    return _field(op, given[0]).tensor()


def _saved(op: OpObject, given: list[object], rest: dict[str, object]) -> FieldRef:
    op.takes(given, rest, 2)
    if isinstance(given[0], FieldRef):
        raise ShapeMismatch("Save takes what was computed, not a field",
                            hint='Load it first: self.load = Load(), then self.load(cache["name"], ctx=ctx).')
    return _field(op, given[1]).save(op._operand(given[0]))


def _filled(op: OpObject, given: list[object], rest: dict[str, object]) -> FieldRef:
    given = [*given, *(rest.pop(name) for name in ("dest", "output", "x") if name in rest)]
    op.takes(given, rest, 1)
    return _field(op, given[0]).fill(float(op.params["alpha"]))


def _product(op: OpObject, given: list[object], rest: dict[str, object]) -> object:
    """A learned constant is the second operand, of a product with what is one per row."""
    values = [tensor_of(x) for x in given[:2]]
    leads = [x._node.type.lead for x in values if isinstance(x, Value)]
    if Lead.CONST in leads and (len(leads) < 2 or leads[0] is not Lead.ROW):
        raise ShapeMismatch(f"{op.kind} of a learned constant takes it as the second operand, after one value a row",
                            hint="Write op(q, weight, ctx=ctx).")
    return op._written(given, rest)


SPECIAL: dict[str, Special] = {
    **dict.fromkeys(ENDS, _end),
    "TopK": _listed, "Union": _united, "GeMM": _product, "Load": _loaded, "Save": _saved, "Fill": _filled,
}


def _parameter(value: object, layer_lookup: object = None) -> object:
    raise ParameterError("Parameter(...) is given numbers that this text computes or reads",
                         hint="Keep them in a safetensors file next to the flow, and use as second operand of GeMM "
                              'ops.param("name.safetensors", "key"), from vortex import ops.')


def _number(*, alpha: object) -> None:
    if not isinstance(alpha, int | float) or not abs(alpha) < float("inf"):
        raise BadArgument(f"alpha={shown(alpha)} is not a finite number")


def _unwritten(*args: object, **params: object) -> Any:
    raise FlowContractError("this op is not written down")


FIELD_OPS = (
    Upstream(name="Load", means="the value before this step", sides=frozenset({Side.INDEXER}), write=_unwritten),
    Upstream(name="Save", means="cache[name] = x", sides=frozenset({Side.INDEXER}), tensors=2, write=_unwritten),
    Upstream(name="Fill", means="the value on a new block", sides=frozenset({Side.CACHE}), params=(("alpha", 0.0),),
             check=_number, write=_unwritten),
)
RUNTIME = ("Context", "MetaData", "get_ctx", "utils_sglang", "compiler", "set_kv_buffer_launcher")
OF_FLOW = ("build_vflow", "verify_flow_compilable", "VerifyReport", "Config", "Failure", "get", "has", "list_keys")
ABSTRACT = ("ContextBase", "vOp", "vTensor", "as_vtensor", "FORMAT", "Context")
ENUMS = ("Mode", "Schedule", "ReduceType", "ElementwiseBinaryOpType", "ElementwiseOpType", "QuantizationType", "UNSET",
         "DTYPE_STR_TO_TORCH", "resolve_dtype")


def records() -> list[Upstream]:
    """Every op object of the upstream."""
    return [*(record for op in OPS.values() for record in op.upstream), *FIELD_OPS]


def packages(contract: Mapping[str, object]) -> dict[str, Module]:
    """The upstream's modules; `contract` has vFlow, vFlowMLA and register."""
    classes = {side: {record.name: OpClass(record, side) for record in records() if side in record.sides} for side in Side}
    parameter = {"Parameter": Builtin("Parameter", _parameter)}
    runtime = {name: Hint(name) for name in RUNTIME}
    found: dict[str, Mapping[str, object]] = {
        "flow": {**{name: Hint(name) for name in OF_FLOW}, **contract},
        "indexer": {**runtime, **classes[Side.INDEXER], **parameter}, "cache": {**runtime, **classes[Side.CACHE]},
        "abs": {**{name: Hint(name) for name in ABSTRACT}, **parameter}, "utils": {name: Hint(name) for name in ENUMS},
    }
    modules = {f"vortex_torch.{name}": Module(f"vortex_torch.{name}", names) for name, names in found.items()}
    root: dict[str, object] = {**{name: modules[f"vortex_torch.{name}"] for name in found}, **contract}
    return {"vortex_torch": Module("vortex_torch", root), **modules}
