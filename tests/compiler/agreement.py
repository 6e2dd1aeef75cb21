"""When two lists of blocks are the same but for rounding: float operations in another order may decide a close call."""
from collections.abc import Collection, Sequence

import torch

from vortex.compiler.reference import Outcome, take_best
from vortex.compiler.selection import Rule


def agrees(blocks: Collection[int], right: Outcome, rules: Sequence[Rule], bos: int, slack: float) -> bool:
    """Are `blocks` those of the reference, but for blocks that lie at the edge of what a rule takes?

    `slack` is a share of the score at the edge, or of the mean size of the scores where that is larger, for scores that
    cancel to near zero; and of the shares that top-p adds up.
    """
    differ = set(blocks) ^ set(right.blocks)
    if not differ:
        return True
    if not right.scores or max(differ) >= len(right.scores[0]):
        return False
    if len(rules) == 1 and rules[0].op == "topk" and len(blocks) != len(right.blocks):
        return False
    near = set[int]()
    for rule, score, taken in zip(rules, right.scores, right.taken, strict=True):
        near |= _at_edge(rule, score, taken, bos, slack)
    return differ <= near


def _at_edge(rule: Rule, score: torch.Tensor, taken: Sequence[int], first: int, slack: float) -> set[int]:
    """Blocks about which a rule could have decided otherwise."""
    edges = [float(score[taken[-1]])] if taken else []
    near = set[int]()
    if rule.op == "threshold":
        edges.append(rule.at)
    if rule.op == "top_p":
        near = _at_share(score, first, rule.at, slack)
    size = float(score[score.isfinite()].abs().mean().nan_to_num(0.0))
    return near | {block for block, value in enumerate(score.tolist()) for edge in edges
                   if value == edge or abs(value - edge) <= slack * max(abs(edge), size)}


def _at_share(score: torch.Tensor, first: int, p: float, slack: float) -> set[int]:
    """Blocks from `first` on that are taken or not by whether the shares of better ones just reach `p`."""
    order = take_best(score.tolist(), first, len(score))
    ordered = score[order]
    shares = torch.softmax(ordered.where(~ordered.isnan(), float("-inf")), dim=0).nan_to_num(0.0)
    before = shares.cumsum(dim=0) - shares
    return {block for block, total in zip(order, before.tolist(), strict=True) if abs(total - p) <= slack}
