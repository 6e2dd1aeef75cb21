"""The planner, launched: from lengths on the device to a Worklist, with no word to the host; and its bounds, known beforehand.

`vortex/budget.py` is the definition of a budget. Lengths that C leaves open and budgets past max_topk_val are refused by
`Planner.check`, on the host, where lengths are known; a launch cannot refuse.
"""
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch

from vortex.budget import budget, limits, read_policy
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.policy_text import policy_text
from vortex.compiler.kernels.policy_values import values
from vortex.compiler.kernels.workspace import Inputs, Worklist, WorkShape
from vortex.compiler.selection import EVERYTHING, Rule
from vortex.config import OperatingPoint
from vortex.policy import single

HUGE = 2**29                              # more blocks than any row has; sums of a few still are 32-bit ints
PROGRAMS = 128                            # about one a multiprocessor of a large chip
TILE, WIDTH = 1024, 256                   # rows looked at together; items or entries written together
SIGNATURE = {"lens": "*i32", "vals": "*i32", "ratios": "*fp32", "ks": "*i32", "blocks": "*i32", "end": "*i32", "most": "*i32",
             "starts": "*i32", "items": "*i64", "counts": "*i32", "index": "*i32", "ROWS": "i32", "N": "i32", "L": "i32"}
SIZES = ["ROWS", "N", "L"]                # one machine code for all of them
CONSTANTS = ("HEADS", "BLOCK", "BOS", "EOS", "CHUNK", "RULES", "USES_BUDGET", "LARGEST_K", "GROUP", "TILE", "WIDTH")
Key = tuple[object, object]


def planner_text(policy: str | None) -> str:
    """The source of the kernel `plan`, with the budget by the policy or the default one."""
    parts = ("plan_rows",) if policy is not None else ("default_budget", "plan_rows")
    head = ("import triton\nimport triton.language as tl\n\n"
            f"from vortex.compiler.kernels.planner_kernels import {', '.join(parts)}\n\n\n")
    own = "" if policy is None else policy_text(read_policy(policy)) + "\n\n"
    arguments = [*SIGNATURE, *(f"{name}: tl.constexpr" for name in CONSTANTS)]
    allowed = "default_budget" if policy is None else "allowed_of"
    return (f"{head}{own}@triton.jit(do_not_specialize={SIZES})\ndef plan({', '.join(arguments)}):\n"
            f"    plan_rows({', '.join([*SIGNATURE, *CONSTANTS, allowed])})\n")


class Planner:
    """Plans the layers that have one budget (`parts_of`). Owns three small tensors; safe to capture once it has run."""

    def __init__(self, graph_rules: Sequence[Rule], point: OperatingPoint, shape: WorkShape, layer: int,
                 device: torch.device) -> None:
        self.point, self.shape, self.layer = point, shape, layer
        per_head = [limits(point, layer, head) for head in range(shape.heads)]
        vals = [min(val, HUGE if point.schedule_policy is None else 2**31 - 1) for val, _ in per_head]
        everything = any(rule.op == EVERYTHING for rule in graph_rules)
        ks = [] if everything else [-1 if rule.k is None else min(rule.k, HUGE) for rule in graph_rules]
        self.vals = torch.tensor(vals, dtype=torch.int32, device=device)
        self.ratios = torch.tensor([ratio for _, ratio in per_head], dtype=torch.float32, device=device)
        self.ks = torch.tensor(ks or [0], dtype=torch.int32, device=device)
        self._text = planner_text(point.schedule_policy)
        self._seen: set[int] = set()
        self.constants = self._constants(ks, everything)

    def _constants(self, ks: Sequence[int], everything: bool) -> dict[str, int | bool]:
        group = 1
        while group < 32 and self.shape.rows > PROGRAMS * group:
            group *= 2
        return {"HEADS": self.shape.heads, "BLOCK": self.point.block_size, "BOS": min(self.point.block_reserved_bos, HUGE),
                "EOS": min(self.point.block_reserved_eos, HUGE), "CHUNK": self.shape.chunk, "RULES": len(ks),
                "USES_BUDGET": -1 in ks, "LARGEST_K": HUGE if everything else max(ks, default=0), "GROUP": group,
                "TILE": min(TILE, 1 << (self.shape.rows - 1).bit_length()), "WIDTH": WIDTH}

    @property
    def grid(self) -> tuple[int, int]:
        groups = -(-self.shape.rows // int(self.constants["GROUP"]))
        most = max(-(-self.shape.blocks // self.shape.chunk), min(self.shape.blocks, self.shape.listed))
        return groups, max(1, min(PROGRAMS // groups, -(-most // WIDTH)))

    def check(self, blocks: Iterable[int]) -> None:
        """Raises BudgetError for a row of so many blocks whose budget C leaves open or max_topk_val forbids."""
        if self.point.max_topk_val is None and self.point.schedule_policy is None:
            return
        for n in set(blocks) - self._seen:
            for head in range(self.shape.heads):
                budget(n, self.point, self.layer, head)
            self._seen.add(n)

    def launch(self, inputs: Inputs, worklist: Worklist) -> None:
        """Writes blocks, end, most, starts, items; counts and index of rows that are attended whole."""
        module: Any = module_of(self._text)
        shape = self.shape
        module.plan[self.grid](
            inputs.lens, self.vals, self.ratios, self.ks, worklist.blocks, worklist.end, worklist.most, worklist.starts,
            worklist.items.view(torch.int64), worklist.counts, worklist.index, shape.rows, shape.blocks, worklist.index.shape[1],
            **self.constants, num_warps=4, enable_fp_fusion=False)

    def kernels(self) -> tuple[Kernel, ...]:
        """What `launch` launches, to be built beforehand."""
        shape = self.shape
        moved = 4 * (2 * shape.requests + shape.rows * (3 + len(self.ks))) + 8 * shape.items        # every row scored
        return (Kernel(name="plan", source=self._text, entry="plan", signature=SIGNATURE, constants=self.constants,
                       aligned=tuple(name for name, type_ in SIGNATURE.items() if type_.startswith("*")), warps=4, stages=3,
                       contraction=False, covers=("budget", "worklist"), note="once a step for all layers of one budget",
                       bytes_moved=moved),)


def parts_of(point: OperatingPoint, layers: Iterable[int]) -> dict[int, Key]:
    """Layers with equal keys have equal budgets, and share a Planner's Worklist."""
    def entry(table: Sequence[object], layer: int) -> object:
        return table[min(layer, len(table) - 1)] if table else None

    return {layer: (entry(point.topk_layers, layer), entry(point.ratio_layers, layer)) for layer in layers}


@lru_cache(maxsize=256)
def _chosen(point: OperatingPoint, blocks: int, val: int, ratio: float) -> torch.Tensor:
    """int64 [blocks]: how many blocks rows of 1, 2 ... blocks may choose beside the reserved ones, as the kernel computes it."""
    n = torch.arange(1, blocks + 1)
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    if point.schedule_policy is None:
        share = (n.float() * torch.tensor(single(ratio), dtype=torch.float32)).long()
        return (share - bos - eos).clamp(min=min(val, HUGE))
    given = {"cached_block_len": n, **{name: torch.tensor(value) for name, value in
             (("topk_val", val), ("topk_ratio", ratio), ("block_reserved_bos", bos), ("block_reserved_eos", eos))}}
    return (values(read_policy(point.schedule_policy), given).expand(blocks).long() - bos - eos).clamp(min=0)


def listed(point: OperatingPoint, graph_rules: Sequence[Rule], blocks: int, layer: int, heads: int) -> int:
    """The longest list that a row of 1 to `blocks` blocks can get; of a union, where its rules take no block in common."""
    if any(rule.op == EVERYTHING for rule in graph_rules):
        return blocks
    n, reserved = torch.arange(1, blocks + 1), point.block_reserved_bos + point.block_reserved_eos
    longest = 0
    for val, ratio in {limits(point, layer, head) for head in range(heads)}:
        chosen = _chosen(point, blocks, val, ratio)
        most = [chosen if rule.k is None else torch.full_like(n, min(rule.k, HUGE)) for rule in graph_rules]
        together = torch.stack(most)
        whole = n <= together.amax(dim=0) + reserved
        longest = max(longest, int(torch.where(whole, n, torch.minimum(n, together.sum(dim=0) + reserved)).max()))
    return longest
