"""The stand-in of sglang-kernel against the formulas in double precision; in a process of its own, whose imports it changes."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import torch
import sgl_kernel
from sgl_kernel.utils import is_arch_support_pdl

def normed(x, w):
    x = x.double()
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * w.double()

def near(found, wanted, dtype, roundings=1.0):
    step = torch.finfo(dtype).eps * roundings
    assert found.dtype == dtype
    least = torch.finfo(dtype).tiny * torch.finfo(dtype).eps
    assert ((found.double() - wanted).abs() <= step * wanted.abs() + least).all(), (found.double() - wanted).abs().max()

torch.manual_seed(0)
for dtype in (torch.bfloat16, torch.float16, torch.float32):
    for tokens, hidden in ((1, 64), (5, 2048), (3, 1368)):
        x, residual = (3 * torch.randn(tokens, hidden) for _ in range(2))
        x, residual, w = x.to(dtype), residual.to(dtype), (1 + torch.randn(hidden) / 4).to(dtype)
        plain = 4 if dtype is torch.float32 else 1.01
        near(sgl_kernel.rmsnorm(x, w, 1e-6), normed(x, w), dtype, plain)
        out = torch.empty_like(x)
        assert sgl_kernel.rmsnorm(x, w, 1e-6, out=out) is out
        near(out, normed(x, w), dtype, plain)
        a, r = x.clone(), residual.clone()
        assert sgl_kernel.fused_add_rmsnorm(a, r, w, 1e-6) is None
        total = (x.double() + residual.double()).to(dtype)
        assert torch.equal(r, total)
        near(a, normed(total, w), dtype, plain)
        wide = torch.cat([x, residual], dim=-1)
        gate = x.double()
        wanted = gate / (1 + (-gate).exp()) * residual.double()
        near(sgl_kernel.silu_and_mul(wide), wanted, dtype, 8 if dtype is torch.float32 else 1.01)
        out = torch.empty_like(x)
        sgl_kernel.silu_and_mul(wide, out)
        near(out, wanted, dtype, 8 if dtype is torch.float32 else 1.01)
assert is_arch_support_pdl() is False
from sgl_kernel import top_k_renorm_prob
from sgl_kernel.scalar_type import ScalarType
try:
    top_k_renorm_prob(1)
except NotImplementedError as error:
    assert "top_k_renorm_prob" in str(error)
    print("as the formulas")
"""


def test_its_kernels_are_the_formulas_and_all_else_raises() -> None:
    folders = os.pathsep.join(str(ROOT / "tools" / name) for name in ("sglang_gpu", "only_the_stand_in"))
    program = f"import sys, importlib.util as u\nspec = u.spec_from_file_location('_stand_in', {str(ROOT)!r} + " \
              "'/tools/sglang_cpu/_stand_in.py')\nsys.modules['_stand_in'] = m = u.module_from_spec(spec)\n" \
              f"spec.loader.exec_module(m)\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "as the formulas\n"), done.stderr
