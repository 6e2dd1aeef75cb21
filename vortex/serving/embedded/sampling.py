"""The next token of each request from its logits: greedy, or drawn with the request's own generator."""
from collections.abc import Sequence

import torch

from vortex.serving.embedded.graphed import Answer
from vortex.serving.engine import Request


class Sampler:
    """One request's way of choosing; draws do not depend on the rest of the batch."""

    def __init__(self, request: Request) -> None:
        self.greedy = request.temperature <= 0
        self._request = request
        self._generator = torch.Generator().manual_seed(request.seed)

    def draw(self, logits: torch.Tensor) -> int:
        """`logits` [V]. Temperature first, then the k most likely, then the fewest that hold top_p of what is left."""
        scaled = logits.detach().float().cpu() / self._request.temperature
        if 0 < self._request.top_k < scaled.numel():
            floor = scaled.topk(self._request.top_k).values[-1]
            scaled = scaled.masked_fill(scaled < floor, float("-inf"))
        likely = torch.softmax(scaled, dim=-1)
        if self._request.top_p < 1:
            likely = _nucleus(likely, self._request.top_p)
        return int(torch.multinomial(likely, 1, generator=self._generator))


def _nucleus(likely: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keeps the most likely until they hold `top_p`, the one that reaches it included."""
    ordered, order = likely.sort(descending=True, stable=True)
    outside = ordered.cumsum(dim=0) - ordered >= top_p
    outside[0] = False
    return likely.index_fill(0, order[outside], 0.0)


def next_tokens(answer: Answer, samplers: Sequence[Sampler]) -> list[int]:
    """One token a request: the likeliest, or a draw from its logits."""
    tokens: list[int] = answer.tokens.tolist()
    return [token if sampler.greedy else sampler.draw(answer.logits[row])
            for row, (token, sampler) in enumerate(zip(tokens, samplers, strict=True))]
