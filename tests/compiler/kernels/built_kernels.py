"""Small kernels with a fault each, for the tests of building."""
from vortex.compiler.kernels.kernel import Kernel

HEAD = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
SCORE = HEAD + """def score(q, field, out, blocks, SIZE: tl.constexpr, COLS: tl.constexpr):
    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    cols = tl.arange(0, COLS)
    here = at < blocks
    values = tl.load(field + at.to(tl.int64)[:, None] * COLS + cols[None, :], mask=here[:, None], other=0.0).to(tl.float32)
    tl.store(out + at, tl.sum(values * tl.load(q + cols).to(tl.float32)[None, :], axis=1), mask=here)
"""
PRODUCT = HEAD + """def product(a, b, out, steps, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows, cols, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = tl.zeros([M, N], tl.float32)
    for step in range(steps):
        left = tl.load(a + rows[:, None] * 4096 + step * K + inner[None, :])
        total = tl.dot(left, tl.load(b + (step * K + inner[:, None]) * 4096 + cols[None, :]), total)
    tl.store(out + rows[:, None] * N + cols[None, :], total)
"""
HELD = HEAD + """def held(a, out, steps, N: tl.constexpr):
    at = tl.arange(0, N)
    total, other = tl.load(a + at), tl.load(a + N + at)
    for step in range(steps):
        total, other = other * tl.load(a + step), total + other
    tl.store(out + at, total)
"""
SORT = HEAD + """def order(a, out, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, tl.sort(tl.load(a + at)))
"""
WRONG = HEAD + """def wrong(a, out, N: tl.constexpr):
    tl.store(out + tl.arange(0, N), tl.load(b + tl.arange(0, N)))
"""
score = Kernel(name="good.score", source=SCORE, entry="score", constants={"SIZE": 64, "COLS": 128},
               signature={"q": "*bf16", "field": "*bf16", "out": "*fp32", "blocks": "i32"},
               aligned=("q", "field", "out"), covers=("mul", "sum"), bytes_moved=16 << 20)
unaligned = Kernel(name="good.unaligned", source=SCORE, entry="score", signature=score.signature, constants=score.constants)
fp8 = Kernel(name="good.fp8", source=SCORE, entry="score", signature={**score.signature, "field": "*fp8e4nv"},
             constants=score.constants, aligned=score.aligned)
large = Kernel(name="large.product", source=PRODUCT, entry="product", covers=("matmul",), warps=8, stages=4,
               signature={"a": "*bf16", "b": "*bf16", "out": "*fp32", "steps": "i32"},
               constants={"M": 128, "N": 256, "K": 128}, aligned=("a", "b", "out"))
spilling = Kernel(name="held.values", source=HELD, entry="held", signature={"a": "*fp32", "out": "*fp32", "steps": "i32"},
                  constants={"N": 4096}, aligned=("a", "out"), warps=1)
endless = Kernel(name="long.sort", source=SORT, entry="order", warps=1,
                 signature={"a": "*fp32", "out": "*fp32"}, constants={"N": 8192})
wrong = Kernel(name="wrong.name", source=WRONG, entry="wrong", signature={"a": "*fp32", "out": "*fp32"}, constants={"N": 64},
               covers=("exp",))
