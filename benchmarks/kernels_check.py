"""Are the kernels right on this device? Every flow's lists, attention, summaries and state against the one-row reference."""
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vortex.config import OperatingPoint
from vortex.flows import CALIBRATED, LATENT, read, settings
from vortex.ir import Geometry

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.compiler.kernels.numerics import KernelWorld
from tests.compiler.world import built_in

POINT = OperatingPoint(topk_val=5, topk_ratio=0.0)
CALIBRATED_HEADS, CALIBRATED_DIM = 2, 64


def check(names: Sequence[str], *, head_dim: int, group: int, lens: Sequence[int], say: Callable[[str], None]) -> list[str]:
    """Two steps of each flow over requests of `lens` tokens; gives the names of the flows that are wrong."""
    wrong = []
    for name in names:
        point = POINT.with_(**settings(read(name)[2]))
        try:
            world = KernelWorld(built_in(name, _geometry(name, head_dim, group)), point, list(lens),
                                heads=1 if name in LATENT else 2)
            for _ in range(2):
                world.check()
                world.grow()
        except AssertionError as error:
            wrong.append(name)
            say(f"WRONG {name}: {str(error).strip()[:2000]}")
    say(f"{len(names) - len(wrong)} of {len(names)} flows equal the reference")
    return wrong


def _geometry(name: str, head_dim: int, group: int) -> Geometry:
    if name in LATENT:
        return Geometry.of_latent(16, 4 * head_dim, head_dim // 2, group)
    return Geometry(16, CALIBRATED_DIM if name in CALIBRATED else head_dim, group)
