from vortex_torch.cache import Fill as CFill
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Exp, GeMM, Max, Mean, Reshape, Softmax, Sum, topK


@register("agent_exact_scores_cls")
class ExactScores(vFlow):
    """No summary at all: the attention logits of every token, their softmax mass by block, the mean of the heads."""

    def __init__(self):
        super().__init__()
        self.gemm, self.exp, self.tokens, self.share, self.heads = GeMM(), Exp(alpha=-2.0, beta=0.15), Sum(dim=1), Softmax(), Mean(dim=2)
        self.topk = topK()

    def create_cache(self, block_size, head_dim):
        return {}

    def forward_cache(self, cache, loc, ctx):
        pass

    def forward_indexer(self, q, o, cache, ctx):
        logits = self.gemm(q, cache["k"], ctx=ctx)               # [S, block, H]
        mass = self.tokens(self.exp(logits, ctx=ctx), ctx=ctx)   # [S, 1, H]
        self.topk(self.heads(mass, ctx=ctx), o, ctx=ctx)
