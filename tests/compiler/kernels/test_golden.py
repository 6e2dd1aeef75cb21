"""The generated source of three flows. VORTEX_ACCEPT_GOLDEN=1 writes what is generated now, to be read as a diff."""
import os
from pathlib import Path

import pytest

from vortex.compiler.front import load
from vortex.compiler.kernels.generate import HEADER, generate
from vortex.compiler.kernels.sources import Types
from vortex.config import OperatingPoint
from vortex.flows import read, settings
from vortex.ir import Geometry

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = bool(os.environ.get("VORTEX_ACCEPT_GOLDEN"))
POINT = OperatingPoint(topk_val=29, topk_ratio=0.0, dtype="bfloat16")


def generated(name: str) -> str:
    """The flow's own kernels, one after the other, with how each is launched."""
    _, text, path = read(name)
    texts = generate(load(text, path, Geometry(16, 128, 4)), POINT.with_(**settings(path)), Types())
    own = [text for text in (texts.update, texts.rows, *texts.phases, texts.score) if text is not None]
    bodies = [f"# {one.name}: {one.warps} warps, {one.blocks} blocks of a row at once; covers {', '.join(one.covers)}\n"
              + one.source.removeprefix(HEADER).strip("\n") for one in own]
    return HEADER + "\n\n" + "\n\n\n".join(bodies) + "\n"


@pytest.mark.parametrize("name", ["centroid", "quest", "twilight"])
def test_generated_source_is_what_was_read_for_sense(name: str) -> None:
    path, text = GOLDEN / f"{name}.py.txt", generated(name)
    compile(text, path.name, "exec")
    if ACCEPT:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, "VORTEX_ACCEPT_GOLDEN=1 writes what is generated now, to be read as a diff"
