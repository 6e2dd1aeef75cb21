"""A budget policy in torch: on the host, for every length that a row may have, the numbers that a device computes."""
from collections.abc import Callable, Mapping

import torch

from vortex.compiler.kernels.policy import straight
from vortex.policy import LARGEST, SMALLEST, Kind, Policy

DTYPES: Mapping[Kind, torch.dtype] = {"int": torch.int32, "float": torch.float32, "double": torch.float64}


def _safe(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.where((b == 0) | ((a == SMALLEST) & (b == -1)), 1, b)


def _divided(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, _safe(a, b), rounding_mode="trunc")


def _whole(a: torch.Tensor) -> torch.Tensor:
    if not a.is_floating_point():
        return a
    above = a >= SMALLEST if a.dtype == torch.float32 else a > SMALLEST - 1.0
    return torch.where(above & (a < LARGEST + 1.0), a, 0).to(torch.int32)


OPS: Mapping[str, Callable[..., torch.Tensor]] = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": _divided, "%": lambda a, b: torch.fmod(a, _safe(a, b)),
    "<": torch.lt, "<=": torch.le, ">": torch.gt, ">=": torch.ge, "==": torch.eq, "!=": torch.ne,
    "negative": torch.neg, "!": lambda a: a == 0, "truth": lambda a: a != 0, "where": lambda a, b, c: torch.where(a != 0, b, c),
    "min": lambda a, b: torch.where((a != a) | (b < a), b, a), "max": lambda a, b: torch.where((a != a) | (b > a), b, a),
    "abs": torch.abs, "sqrt": torch.sqrt, "ceil": torch.ceil, "floor": torch.floor,
}


def values(policy: Policy, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """int32, shaped as the inputs together; `inputs` has the names of policy.INPUTS."""
    found: list[torch.Tensor] = []
    for line in straight(policy):
        if line.op == "number":
            found.append(torch.tensor(line.value, dtype=DTYPES[line.kind]))
        elif line.op == "input":
            found.append(inputs[line.name].to(DTYPES[line.kind]))
        elif line.op == "to":
            value = found[line.args[0]]
            found.append(_whole(value) if line.kind == "int" else value.to(DTYPES[line.kind]))
        else:
            found.append(OPS[line.op](*(found[arg] for arg in line.args)).to(DTYPES[line.kind]))
    return found[-1]
