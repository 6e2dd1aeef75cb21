"""The k best blocks of each row, exactly: equal scores go to the lower block, NaN stands last."""
import numpy as np
import torch


def best(score: torch.Tensor, k: int) -> torch.Tensor:
    """Positions, ascending, of the `k` best along the last axis of `score` [..., M], 0 <= k <= M: int64 [..., k]."""
    if k == score.shape[-1]:
        return torch.arange(k, device=score.device).expand(*score.shape[:-1], k)
    if k == 0:
        return torch.empty(*score.shape[:-1], 0, dtype=torch.int64, device=score.device)
    taken = score >= _kth_best(score, k)
    # More than k at or above the k-th value are equals, fewer are the work of NaN: then the order decides.
    if bool((taken.sum(dim=-1) == k).all()):
        return taken.nonzero()[:, -1].view(*score.shape[:-1], k)
    return in_order(score)[..., :k].sort(dim=-1).values


def _kth_best(score: torch.Tensor, k: int) -> torch.Tensor:
    """[..., 1]; NaN counts as the largest. On a CPU NumPy's partition is several times faster than torch's topk."""
    if score.device.type == "cpu":
        place = score.shape[-1] - k
        return torch.from_numpy(np.partition(score.numpy(), place, axis=-1)[..., place:place + 1])
    return score.topk(k, dim=-1).values[..., -1:]


def in_order(score: torch.Tensor) -> torch.Tensor:
    """Every position, best first; stable, so that equals keep their order."""
    missing = score.isnan()
    order = score.masked_fill(missing, float("-inf")).sort(dim=-1, descending=True, stable=True).indices
    last = missing.gather(-1, order).to(torch.int8).sort(dim=-1, stable=True).indices
    return order.gather(-1, last)
