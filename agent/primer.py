"""What the stable part of a prompt is made from: ops by shapes, examples and known algorithms, read from the language itself."""
import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import vortex.language.ops  # noqa: F401  (fills the registry that the language reference is made from)
from vortex import flows
from vortex.language.ops.prose import listed, tell

EXAMPLES = ("quest", "lserve-centroid", "rocketkv", "running-average")
LATENT_EXAMPLES = ("mla-centroid", "mla-weighted", "mla-lserve-centroid")


@dataclass(frozen=True)
class Mistake:
    """A line that is refused, and one that says the same and is not; `in_cache`: a line of forward_cache."""

    what: str
    wrong: str
    right: str
    in_cache: bool = False


# Where `c` is the mean key of the block, [block, 1, head_dim].
MISTAKES: Sequence[Mistake] = (
    Mistake("a score for every head", "ops.topk(q @ c.T)", "ops.topk((q @ c.T).max(dim=1))"),
    Mistake("the sum of products over channels", "q.mean(dim=1) @ c", "q.mean(dim=1) @ c.T"),
    Mistake("a negative axis", "(q * c).sum(dim=-1)", "(q * c).sum(dim=2)"),
    Mistake("a reduction without an axis", "(q @ c.T).max()", "(q @ c.T).max(dim=1)"),
    Mistake("a power of a tensor", "q ** 2", "q * q"),
    Mistake("the spread of the keys", 'cache["s"] = cache["k"].std(dim=1)',
            'cache["s"] = (cache["k"] - cache["k"].mean(dim=1)).abs().mean(dim=1)', in_cache=True),
    Mistake("a view of other blocks in forward_cache", 'cache["s"] = cache["k"].norm(dim=2).mean(dim=0)',
            'cache["s"] = cache["k"].norm(dim=2).mean(dim=1)', in_cache=True),
    Mistake("a branch on a tensor", "q if q.sum(dim=2) > 0.0 else -q", "ops.where(q.sum(dim=2) > 0.0, q, -q)"),
    Mistake("another library", "torch.maximum(q, -q)", "ops.maximum(q, -q)"),
    Mistake("a clamp", "q.clamp(min=0.0)", "ops.maximum(q, 0.0)"),
)
LATENT_MISTAKES = tuple(one for one in MISTAKES if not one.in_cache)


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


def mistakes(latent: bool) -> Sequence[Mistake]:
    """What is refused most, with what to write."""
    return LATENT_MISTAKES if latent else MISTAKES


def examples(latent: bool) -> list[dict[str, Any]]:
    """Built-in flows as they are written."""
    names = LATENT_EXAMPLES if latent else EXAMPLES
    return [{"name": name, "source": flows.read(name)[1]} for name in names]


def algorithms(latent: bool) -> list[dict[str, str]]:
    """Every built-in algorithm with the sentence that it begins with."""
    names = flows.LATENT if latent else flows.ALGORITHMS + flows.CALIBRATED
    texts = ((name, ast.get_docstring(ast.parse(flows.read(name)[1])) or "") for name in names)
    return [{"name": name, "doc": text.partition("\n")[0]} for name, text in texts]
