"""The attention kernels as descriptions to build ahead of time: the types and constants that `attend` launches them with."""
from pathlib import Path

import torch

from vortex.compiler.kernels import attention_kernels as device_side
from vortex.compiler.kernels.attention import JOINED
from vortex.compiler.kernels.attention_shape import WEIGHED, AttentionShape, padded
from vortex.compiler.kernels.kernel import Constant, Kernel
from vortex.errors import CompileError

SOURCE = Path(device_side.__file__).read_text()
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float8_e4m3fn: "*fp8e4nv",
         torch.float8_e5m2: "*fp8e5"}
FP8_SINCE = 89
WHOLE = "i32"
STRIDES = ("k_head", "k_block", "k_token", "v_head", "v_block", "v_token")


def attention_kernels(shape: AttentionShape, *, mass: bool = False) -> tuple[Kernel, ...]:
    """The one kernel of a batch that fills the chip, the two of one that does not, and with `mass` that of the masses.

    Raises CompileError for a cache of e4m3 on a chip that has no such type.
    """
    if shape.cache == torch.float8_e4m3fn and shape.chip < FP8_SINCE:
        raise CompileError(f"attention over an fp8 (e4m3) cache cannot be built for sm_{shape.chip}: the chip has no such type",
                           hint="Keep the cache in bfloat16, or name a target from sm_90 on.", op="attend")
    kinds = (_attend(shape, direct=True), _attend(shape, direct=False), _join(shape))
    return (*kinds, _weigh(shape)) if mass else kinds


def _kernel(shape: AttentionShape, name: str, entry: str, signature: dict[str, str], constants: dict[str, Constant],
            note: str = "", warps: int | None = None) -> Kernel:
    kind = ("latent." if shape.rank else "") + ("sparse" if shape.sparse else "dense")
    aligned = tuple(name for name, kind in signature.items() if kind[0] == "*" or name in STRIDES)
    tile = shape.tile
    ordered = {name: signature[name] for name in getattr(device_side, entry).arg_names if name in signature}
    return Kernel(name=f"attention.{kind}.{name}", source=SOURCE, entry=entry, signature=ordered, constants=constants,
                  aligned=aligned, warps=warps or tile.warps, stages=tile.stages, covers=("attend",), note=note)


def _paged(shape: AttentionShape) -> tuple[dict[str, str], dict[str, Constant]]:
    """Run-time arguments and constants of every kernel that reads keys."""
    pool = TYPES[shape.cache]
    signature = {"q": TYPES[shape.dtype], "k": pool, "tables": "*i32", "index": "*i32", "counts": "*i32", "lens": "*i32",
                 "scale": "fp32", "heads": WHOLE, "most": WHOLE, "table_stride": WHOLE, "index_stride": WHOLE,
                 "k_head": WHOLE, "k_block": WHOLE, "k_token": WHOLE}
    absent: dict[str, Constant] = {} if shape.sparse else {"index": None, "counts": None}
    return {name: kind for name, kind in signature.items() if name not in absent}, {**shape.constants(), **absent}


def _attend(shape: AttentionShape, *, direct: bool) -> Kernel:
    signature, constants = _paged(shape)
    signature |= {"v": TYPES[shape.cache], "out": TYPES[shape.dtype] if direct else "*fp32", "v_scale": "fp32",
                  "v_head": WHOLE, "v_block": WHOLE, "v_token": WHOLE}
    constants |= {"V": shape.values, "V_PAD": padded(shape.values), "LATENT": shape.rank > 0, "DIRECT": direct}
    if direct:
        return _kernel(shape, "direct", "attend_split", signature, constants | {"lse": None}, "every row is one program's")
    return _kernel(shape, "split", "attend_split", signature | {"lse": "*fp32"}, constants, "rows are shared to fill the chip")


def _join(shape: AttentionShape) -> Kernel:
    signature = {"parts": "*fp32", "levels": "*fp32", "out": TYPES[shape.dtype], "splits": WHOLE}
    constants: dict[str, Constant] = {"lse": None, "G": shape.group, "V": shape.values, "V_PAD": padded(shape.values),
                                      "N": JOINED}
    return _kernel(shape, "join", "join_splits", signature, constants, "needs the parts of all splits", warps=4)


def _weigh(shape: AttentionShape) -> Kernel:
    signature, constants = _paged(shape)
    constants |= shape.constants(WEIGHED) | {"scored": None}
    signature |= {"lse": "*fp32", "mass": "*fp32", "mass_stride": WHOLE}
    return _kernel(shape, "mass", "weigh_blocks", signature, constants, "needs the sum over all of the row")
