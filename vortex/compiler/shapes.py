"""Sizes of known models, and what they make of a decode step: parameters read, bytes of KV a token.

Taken from the config.json of the public checkpoints. Norms, biases and rows of the embedding that a step looks up are left
out: they are a thousandth of the matrices.
"""
from collections.abc import Mapping
from dataclasses import dataclass

from vortex.ir import Geometry


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Attention over latents (MLA): one row of kv_rank + rope channels a token; rank 0 of queries: not compressed."""

    kv_rank: int
    rope: int
    nope: int
    value: int
    q_rank: int


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Feed-forward layers of which each token takes a few; the first `dense_layers` are ordinary ones."""

    count: int
    active: int
    shared: int
    intermediate: int
    dense_layers: int

    def read(self, batch: int) -> float:
        """How many of one layer a batch reads, where each token takes any `active` of them, all alike likely."""
        return self.count * (1 - (1 - self.active / self.count) ** batch) + self.shared


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """`head_dim` and `kv_heads` are not read of a latent model."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int = 1
    head_dim: int = 128
    vocabulary: int
    tied: bool = False                    # is the output matrix that of the embedding?
    latent: Latent | None = None
    experts: Experts | None = None

    def geometry(self, block_size: int) -> Geometry:
        if self.latent is not None:
            return Geometry.of_latent(block_size, self.latent.kv_rank, self.latent.rope, self.heads)
        return Geometry(block_size=block_size, head_dim=self.head_dim, group=self.heads // self.kv_heads)

    @property
    def pool_heads(self) -> int:
        """Heads of the KV pool."""
        return 1 if self.latent is not None else self.kv_heads

    def token_bytes(self, itemsize_bytes: int = 2) -> int:
        """Keys and values, or the latent row, of one token over all layers."""
        geometry = self.geometry(1)
        return self.layers * self.pool_heads * len(geometry.stored) * geometry.head_dim * itemsize_bytes

    @property
    def parameters(self) -> float:
        """All that are kept."""
        experts = self.experts
        head = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self._matrices(0 if experts is None else experts.count + experts.shared) + head

    def parameters_read(self, batch: int) -> float:
        """In one decode step of `batch` tokens."""
        return self._matrices(0 if self.experts is None else self.experts.read(batch)) + self.vocabulary * self.hidden

    def _matrices(self, experts: float) -> float:
        """Of all layers, with so many experts in a layer that has them."""
        sparse = 0 if self.experts is None else self.layers - self.experts.dense_layers
        each = 3 * self.hidden * self.experts.intermediate if self.experts else 0
        return self.layers * self._attention() + (self.layers - sparse) * 3 * self.hidden * self.intermediate \
            + sparse * (experts * each + self.hidden * (self.experts.count if self.experts else 0))

    def _attention(self) -> int:
        """Of one layer; the up-projections of latents are counted once, absorbed or not."""
        at = self.latent
        if at is None:
            return self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        queries = self.heads * (at.nope + at.rope)
        q = self.hidden * at.q_rank + at.q_rank * queries if at.q_rank else self.hidden * queries
        kv = self.hidden * (at.kv_rank + at.rope) + at.kv_rank * self.heads * (at.nope + at.value)
        return q + kv + self.heads * at.value * self.hidden


def _qwen3(size: str, layers: int, hidden: int, intermediate: int, heads: int, tied: bool = False) -> ModelSizes:
    return ModelSizes(name=f"qwen3-{size}", layers=layers, hidden=hidden, intermediate=intermediate, heads=heads, kv_heads=8,
                      vocabulary=151_936, tied=tied)


MODELS: Mapping[str, ModelSizes] = {model.name: model for model in (
    _qwen3("0.6b", 28, 1024, 3072, 16, tied=True),
    _qwen3("1.7b", 28, 2048, 6144, 16, tied=True),
    _qwen3("4b", 36, 2560, 9728, 32, tied=True),
    _qwen3("8b", 36, 4096, 12_288, 32),
    _qwen3("14b", 40, 5120, 17_408, 40),
    _qwen3("32b", 64, 5120, 25_600, 64),
    ModelSizes(name="llama-3.1-8b", layers=32, hidden=4096, intermediate=14_336, heads=32, kv_heads=8, vocabulary=128_256),
    ModelSizes(name="glm-4.7-flash", layers=47, hidden=2048, intermediate=10_240, heads=20, vocabulary=154_880,
               latent=Latent(kv_rank=512, rope=64, nope=192, value=256, q_rank=768),
               experts=Experts(count=64, active=4, shared=1, intermediate=1536, dense_layers=1)),
    ModelSizes(name="deepseek-v3", layers=61, hidden=7168, intermediate=18_432, heads=128, vocabulary=129_280,
               latent=Latent(kv_rank=512, rope=64, nope=128, value=128, q_rank=1536),
               experts=Experts(count=256, active=8, shared=1, intermediate=2048, dense_layers=3)),
)}
