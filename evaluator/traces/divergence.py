"""Next-token divergence: how far what a flow says lies from what dense decoding says, along the dense path.

The whole path is forced through the sparse model, so that later keys and values are its own (drift counts); what a model
would say to recover from a mistake does not. Dutta et al. (arXiv 2407.09141) find that such divergence tells which answers
flip, where accuracy alone does not.
"""
from collections.abc import Mapping

import torch

UNCERTAIN = 0.2                           # the share of tokens, by the entropy of dense decoding, where a choice is made
TAIL = 0.99


def kl(dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
    """KL(dense || sparse) in nats, [steps], of log-probabilities [steps, V]."""
    likely = dense.exp()
    return _summed(likely, likely * (dense - sparse)).clamp(min=0.0)


def entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """In nats, [steps]."""
    likely = log_probs.exp()
    return -_summed(likely, likely * log_probs)


def _summed(likely: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    """Over the vocabulary; a word of probability 0 contributes nothing."""
    return terms.masked_fill(likely == 0, 0.0).sum(dim=-1)


def divergence(dense: torch.Tensor, sparse: torch.Tensor) -> Mapping[str, float]:
    """The proxies of one trajectory, by name, from log-probabilities [steps, V] of both."""
    gaps = kl(dense, sparse)
    uncertain = max(1, round(UNCERTAIN * len(gaps)))
    at = entropy(dense).topk(uncertain).indices
    agree = (dense.argmax(dim=-1) == sparse.argmax(dim=-1)).float()
    return {"kl": float(gaps.mean()), "kl_p99": float(gaps.quantile(TAIL)), "kl_uncertain": float(gaps[at].mean()),
            "disagreement": 1.0 - float(agree.mean())}
