"""What the stable part of a prompt is made from: ops by shapes, examples and known algorithms, read from the language itself."""
import ast
from functools import cache
from typing import Any

import vortex.language.ops  # noqa: F401  (fills the registry that the language reference is made from)
from vortex import flows
from vortex.language.ops.prose import listed, tell

EXAMPLES = ("quest", "lserve-centroid", "rocketkv", "running-average")
LATENT_EXAMPLES = ("mla-centroid", "mla-weighted", "mla-lserve-centroid")


@cache
def op_groups() -> list[dict[str, Any]]:
    """The ops of the language: those of the same sides and shapes stand together, so that these are said once."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for op in listed():
        told = tell(op)
        key = (*told["sides"], *told["shapes"])
        group = groups.setdefault(key, {"sides": told["sides"], "shapes": told["shapes"], "ops": []})
        group["ops"].append({"usage": told["usage"], "meaning": told["meaning"]})
    return sorted(groups.values(), key=lambda group: -len(group["ops"]))


def examples(latent: bool) -> list[dict[str, Any]]:
    """Built-in flows as they are written."""
    names = LATENT_EXAMPLES if latent else EXAMPLES
    return [{"name": name, "source": flows.read(name)[1]} for name in names]


def algorithms(latent: bool) -> list[dict[str, str]]:
    """Every built-in algorithm with the sentence that it begins with."""
    names = flows.LATENT if latent else flows.ALGORITHMS + flows.CALIBRATED
    texts = ((name, ast.get_docstring(ast.parse(flows.read(name)[1])) or "") for name in names)
    return [{"name": name, "doc": text.partition("\n")[0]} for name, text in texts]
