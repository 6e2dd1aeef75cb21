"""The k best blocks of each row, exactly: equal scores go to the lower block, NaN stands last."""
import torch


def best(score: torch.Tensor, k: int) -> torch.Tensor:
    """Positions, ascending, of the `k` best along the last axis of `score` [..., M], 0 <= k <= M: int64 [..., k]."""
    if k == score.shape[-1]:
        return torch.arange(k, device=score.device).expand(*score.shape[:-1], k)
    if k == 0:
        return torch.empty(*score.shape[:-1], 0, dtype=torch.int64, device=score.device)
    values, picks = score.topk(k + 1, dim=-1)
    # A gap after the k-th value makes the set unique; topk puts NaN first, so the first value shows if there is one.
    unique = (values[..., k - 1] > values[..., k]) & ~values[..., 0].isnan()
    picks = picks[..., :k] if bool(unique.all()) else _in_order(score)[..., :k]
    return picks.sort(dim=-1).values


def _in_order(score: torch.Tensor) -> torch.Tensor:
    """Every position, best first; stable, so that equals keep their order."""
    missing = score.isnan()
    order = score.masked_fill(missing, float("-inf")).sort(dim=-1, descending=True, stable=True).indices
    last = missing.gather(-1, order).to(torch.int8).sort(dim=-1, stable=True).indices
    return order.gather(-1, last)
