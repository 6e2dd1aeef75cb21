"""A policy on a device computes what the host computes: straight lines in torch, and their text under Triton."""
import random

import pytest
import torch

from tests.compiler.kernels.policies import drawn_policy
from vortex.budget import read_policy
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.policy import straight
from vortex.compiler.kernels.policy_text import policy_text
from vortex.compiler.kernels.policy_values import values
from vortex.errors import BudgetError
from vortex.policy import INPUTS, single

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCKS = (*range(1, 41), 63, 64, 65, 100, 1000, 1023, 4096, 9999, 65_535, 65_536)
RUN = """import triton
import triton.language as tl


{functions}
@triton.jit
def run(out, lengths, val, ratio, bos, eos, COUNT, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    real = at < COUNT
    blocks = tl.load(lengths + at, mask=real, other=0)
    ints, floats = blocks * 0, (blocks * 0).to(tl.float32)
{stores}"""
STORE = """    found = allowed_{place}(blocks, ints + val, floats + ratio, ints + bos, ints + eos)
    tl.store(out + {place} * COUNT + at, ints + found, mask=real)
"""
FIXED = ["topk_val", "topk_ratio * 100", "cached_block_len / 10", "-7 / 2 * 10 + -7 % 3",
         "min(sqrt((double)cached_block_len), 30.9)", "0.1f == 0.1", "topk_val ? 2 : 1 / 0", "0 && 1 / 0",
         "cached_block_len > 0 || 1 / 0", "16777217 * 1.0f - 16777216",
         "16777217 * 1.0 - 16777216", "-2147483648.0f + 0 * cached_block_len", "2147483647 - cached_block_len",
         "const float third = 1.0f / 3; return third * 3 == 1;", "(float)cached_block_len / 3 * 3",
         "float s = 0.1f; s += 0.1; s += 0.1; return s * cached_block_len;", "cached_block_len * topk_ratio + 0.5f",
         "sqrtf(cached_block_len) * 10", "(cached_block_len - 20000) / 7", "(cached_block_len - 20000) % 7",
         "if (cached_block_len < 20) return 3; else if (cached_block_len < 100) return cached_block_len / 2; return 60;"]


def on_device(texts: list[str], val: int, ratio: float, bos: int, eos: int) -> torch.Tensor:
    """int32 [policies, BLOCKS]."""
    functions = "\n\n".join(policy_text(read_policy(text), f"allowed_{place}") + "\n" for place, text in enumerate(texts))
    module = module_of(RUN.format(functions=functions, stores="".join(STORE.format(place=i) for i in range(len(texts)))))
    out = torch.full((len(texts), len(BLOCKS)), 0x7F7F7F7F, dtype=torch.int32, device=DEVICE)
    module.run[(1,)](out, torch.tensor(BLOCKS, dtype=torch.int32, device=DEVICE), val, ratio, bos, eos, len(BLOCKS), BLOCK=64,
                     enable_fp_fusion=False)
    return out.cpu()


def in_torch(text: str, val: int, ratio: float, bos: int, eos: int) -> torch.Tensor:
    given = zip(INPUTS, (torch.tensor(BLOCKS), *(torch.tensor(x) for x in (val, ratio, bos, eos))), strict=True)
    return values(read_policy(text), dict(given)).expand(len(BLOCKS))


def on_host(text: str, n: int, val: int, ratio: float, bos: int, eos: int) -> int | None:
    """None: C leaves it open."""
    try:
        return read_policy(text)(**dict(zip(INPUTS, (n, val, ratio, bos, eos), strict=True)))
    except BudgetError:
        return None


def check(texts: list[str], val: int, ratio: float, bos: int, eos: int) -> None:
    for text, found in zip(texts, on_device(texts, val, ratio, bos, eos), strict=True):
        assert found.equal(in_torch(text, val, ratio, bos, eos)), text
        right = [on_host(text, n, val, ratio, bos, eos) for n in BLOCKS]
        assert [x if y is not None else None for x, y in zip(found.tolist(), right, strict=True)] == right, text


def test_policies_that_need_care_compute_as_on_the_host() -> None:
    check(FIXED, 29, single(0.0625), 1, 2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")       # the interpreter's numpy tells of what C leaves open
@pytest.mark.parametrize("seed", range(5))
def test_drawn_policies_compute_as_on_the_host(seed: int) -> None:
    source = random.Random(seed)
    check([drawn_policy(source) for _ in range(60)], source.randint(0, 90), single(source.random()), source.randint(0, 3),
          source.randint(1, 3))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text", ["1 / (cached_block_len - 5)", "1.0f / (cached_block_len - 5)", "7 % (cached_block_len - 5)",
                                  "2147483647 + cached_block_len", "sqrt(-1.0)", "1e30 * cached_block_len",
                                  "abs(-2147483647 - 1)", "(-2147483647 - 1) / (5 - cached_block_len - 1)", "(int)(3e38f * 10)",
                                  "1 % 0"])
def test_what_c_leaves_open_does_no_harm(text: str) -> None:
    assert on_device([text], 29, 0.5, 1, 2)[0].equal(in_torch(text, 29, 0.5, 1, 2))


def test_what_two_branches_share_is_computed_once() -> None:
    lines = straight(read_policy("if (topk_val > 3) return cached_block_len / 7 + 1; return cached_block_len / 7 + 2;"))
    assert sum(line.op == "/" for line in lines) == 1


GOLDEN = """@triton.jit
def allowed_of(cached_block_len, topk_val, topk_ratio, block_reserved_bos, block_reserved_eos):
    v5 = (cached_block_len > topk_val).to(tl.int32)
    v6 = cached_block_len.to(tl.float32)
    v7 = v6 * topk_ratio
    v8 = tl.where((v7 >= -2147483648.0) & (v7 < 2147483648.0), v7, 0.0).to(tl.int32)
    v9 = cached_block_len // tl.where(block_reserved_eos == -1, tl.where(cached_block_len == -2147483648, 1, -1), \
tl.where(block_reserved_eos == 0, 1, block_reserved_eos))
    v10 = tl.where(v5 != 0, v8, v9)
    return v10
"""


def test_the_text_of_a_policy() -> None:
    text = "if (cached_block_len > topk_val) return cached_block_len * topk_ratio; return cached_block_len / block_reserved_eos;"
    assert policy_text(read_policy(text)) == GOLDEN
