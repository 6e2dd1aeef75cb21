"""The probe in training: a Qwen3-type decoder of a million parameters that carry transformers' names."""
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluator.tasks import vocabulary


@dataclass(frozen=True)
class ProbeShape:
    """Sizes of the shipped probe."""

    width: int = 128
    layers: int = 4
    query_heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    inner: int = 384
    rope_theta: float = 1e6
    positions: int = 4096
    vocabulary: int = vocabulary.SIZE


class Norm(nn.Module):
    """Root-mean-square norm with a gain."""

    def __init__(self, width: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), gain))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, 1e-6)


def _linear(inputs: int, outputs: int, *, zero: bool = False) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    if zero:
        nn.init.zeros_(layer.weight)
    else:
        nn.init.normal_(layer.weight, std=inputs ** -0.5)
    return layer


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    """Grouped-query attention with norms on queries and keys; the product itself is in float32, the faster on CPUs."""

    def __init__(self, shape: ProbeShape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = _linear(shape.width, shape.query_heads * shape.head_dim)
        self.k_proj = _linear(shape.width, shape.kv_heads * shape.head_dim)
        self.v_proj = _linear(shape.width, shape.kv_heads * shape.head_dim)
        self.o_proj = _linear(shape.query_heads * shape.head_dim, shape.width, zero=True)
        self.q_norm, self.k_norm = Norm(shape.head_dim, 1.4), Norm(shape.head_dim, 1.4)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [batch, tokens, width] -> the same shape; cos, sin [tokens, head_dim / 2]."""
        batch, tokens, _ = x.shape
        heads = (batch, tokens, -1, self.shape.head_dim)
        q = _rotate(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), cos, sin)
        k = _rotate(self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(heads).transpose(1, 2).float()
        group = self.shape.query_heads // self.shape.kv_heads
        with torch.autocast(x.device.type, enabled=False):
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(batch, tokens, -1))
        return out


class GatedUnit(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: ProbeShape) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = _linear(shape.width, shape.inner), _linear(shape.width, shape.inner)
        self.down_proj = _linear(shape.inner, shape.width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Attention and gated unit, each on a normed input and added to the stream."""

    def __init__(self, shape: ProbeShape) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(shape.width), Norm(shape.width)
        self.self_attn, self.mlp = Attention(shape), GatedUnit(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Stack(nn.Module):
    """Embedding, layers and last norm."""

    def __init__(self, shape: ProbeShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        with torch.no_grad():
            self.embed_tokens.weight.add_(0.5 * torch.randn(1, shape.width))     # a shared mean helps the first steps
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width)
        frequencies = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(shape.positions).float(), frequencies)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embed_tokens(tokens)
        cos, sin = self.cos[:tokens.shape[1]], self.sin[:tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


class ProbeModel(nn.Module):
    """forward gives hidden states, so that logits are made only where they are wanted."""

    def __init__(self, shape: ProbeShape | None = None) -> None:
        super().__init__()
        self.shape = shape or ProbeShape()
        self.model = Stack(self.shape)
        self.lm_head = nn.Linear(self.shape.width, self.shape.vocabulary, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [batch, tokens] of ids -> hidden states [batch, tokens, width]."""
        out: Tensor = self.model(tokens)
        return out

    def matrices(self) -> list[nn.Parameter]:
        """The weight matrices of the layers: Muon's share."""
        return [p for p in self.model.layers.parameters() if p.dim() == 2]

    def others(self) -> list[nn.Parameter]:
        """Embedding, head and norms."""
        mine = {id(p) for p in self.matrices()}
        return [p for p in self.parameters() if id(p) not in mine]
