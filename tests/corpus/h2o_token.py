"""Token by token: how much attention a key has received, decaying by 1/64 a step."""
from vortex_torch.cache import Fill as CFill
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, GeMV, Load, Max, Mean, Save, Softmax, topK


class HeavyHitters(vFlow):
    DECAY = 0.984375

    def __init__(self):
        super().__init__()
        self.softmax = Softmax(dim=0)
        self.load, self.save = Load(), Save()
        self.accumulate = Add(alpha=1.0, beta=self.DECAY)
        self.reset = CFill(alpha=0.0)
        self.topk = topK()

    def create_cache(self, page_size: int, head_dim: int):
        assert page_size == 1, f"one token a block, not {page_size}"
        self.softmax.scale = head_dim ** -0.5
        return {"hh_score": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.reset(cache["hh_score"], loc=loc, ctx=ctx)

    def accumulated(self, mass, cache, ctx):
        total = self.accumulate(mass, self.load(cache["hh_score"], ctx=ctx), ctx=ctx)
        self.save(total, cache["hh_score"], ctx=ctx)
        return total


@register("h2o_token_sparse_attention")
class TokenH2O(HeavyHitters):
    def __init__(self):
        super().__init__()
        self.q_mean, self.dot = Mean(dim=1), GeMV()

    def forward_indexer(self, q, o, cache, ctx):
        logits = self.dot(self.q_mean(q, ctx=ctx), cache["k"], ctx=ctx)
        mass = self.softmax(logits, ctx=ctx)
        self.topk(self.accumulated(mass, cache, ctx), o, ctx=ctx)


@register("gqa_h2o_token_sparse_attention")
class GroupTokenH2O(HeavyHitters):
    def __init__(self):
        super().__init__()
        self.gemm, self.max_heads = GeMM(), Max(dim=2)

    def forward_indexer(self, q, o, cache, ctx):
        mass = self.softmax(self.gemm(q, cache["k"], ctx=ctx), ctx=ctx)
        self.topk(self.accumulated(self.max_heads(mass, ctx=ctx), cache, ctx), o, ctx=ctx)
