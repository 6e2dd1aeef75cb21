"""Direction, not size.

Motivation
----------
A block whose keys are long wins under the plain product although it may point elsewhere. Here the product is divided
by the length of the centroid: cosine similarity up to the query's own length, which is the same for every block.

Design
------
* forward_cache keeps the centroid and one over its length (by way of a logarithm: there is no division).
* forward_indexer multiplies the two.

Expected
--------
Better than the plain centroid where lengths vary, the same where they do not. "Quotes", 'other quotes', {braces}
and \\ backslashes in this text mean nothing, and neither does Save( nor os.environ.
"""
from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.cache import Exp as CExp
from vortex_torch.cache import L2Norm as CL2Norm
from vortex_torch.cache import Log as CLog
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Mean, Multiply, topK

EPSILON: float = 1e-6
NAME = "docstring_heavy"


@register("agent_docstring_heavy_cls")
class Cosine(vFlow):
    """Cosine of the mean query and the block's centroid.

    Parameters: none.

    Notes
    -----
    The class keeps no state between steps, so the prefix cache may stay on.
    """

    def __init__(self) -> None:
        """Makes one op object for each call."""
        super().__init__()
        # indexer side
        self.q_mean: Mean = Mean(dim=1)
        self.product: GeMV = GeMV()
        self.scale: Multiply = Multiply()
        self.output_func: topK = topK()
        # cache side
        self.k_mean: CMean = CMean(dim=1)
        self.length: CL2Norm = CL2Norm(dim=2)
        self.log: CLog = CLog(alpha=EPSILON, beta=1.0)
        self.inverse: CExp = CExp(alpha=0.0, beta=-1.0)

    def create_cache(self, block_size: int, head_dim: int) -> Dict[str, Tuple[int, int]]:
        """Two fields.

        Returns
        -------
        dict
            Inner shapes by name.
        """
        assert isinstance(block_size, int) and block_size > 0, "a block has tokens"
        return {
            "centroid": (1, head_dim),   # [S, 1, D]
            "inverse": (1, 1),           # [S, 1, 1]
        }

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase) -> None:
        """Runs once for every completed block."""
        centroid = self.k_mean(cache["k"], cache["centroid"], loc=loc, ctx=ctx)
        length = self.length(centroid, None, loc=loc, ctx=ctx)
        logarithm = self.log(length, None, loc=loc, ctx=ctx)
        self.inverse(logarithm, cache["inverse"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor],
                        ctx: Optional[Any] = None) -> None:
        """Runs once for every decode step."""
        query = self.q_mean(q, ctx=ctx)                                   # [1, 1, D]
        product = self.product(query, cache["centroid"], ctx=ctx)         # [S, 1, 1]
        cosine = self.scale(product, cache["inverse"], ctx=ctx)           # [S, 1, 1]
        self.output_func(cosine, o, ctx=ctx)
