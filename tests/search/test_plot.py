"""The picture of a frontier: it is there, it can be read, and its labels keep apart."""
import struct
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from search.candidate import Entry
from search.frontier import Frontier, frontier
from search.plot import PlotError, draw, picture
from tests.search.made import dense, entry


def field(count: int) -> Frontier:
    rng = Random(count)
    controls = [dense(), entry(2, 0.9, 3.0, tier="control", name="quest"), entry(3, 0.2, 3.4, tier="control", name="random")]
    figures: list[Entry] = [entry(i + 10, rng.uniform(0.2, 0.95), rng.uniform(0.8, 5.0), name="a rather long name " * (i % 4))
                            for i in range(count)]
    return frontier([*controls, *figures] if count else [])


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_png_of_a_sensible_size_is_written(tmp_path: Path, count: int) -> None:
    path = tmp_path / "frontier.png"
    draw(field(count), "made, ½ of $5 and {braces}", path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 1200 <= width <= 2400 and 700 <= height <= 1600


def test_labels_keep_apart_and_the_axes_name_their_lengths() -> None:
    figure = picture(field(40), "made")
    axes = figure.axes[0]
    assert "@8K" in axes.get_xlabel() and "@1K" in axes.get_ylabel()
    boxes = [text.get_window_extent() for text in axes.texts if isinstance(text, Annotation)]
    assert len(boxes) >= 6
    assert not any(Bbox.intersection(one, other) for one, other in combinations(boxes, 2))


def test_a_picture_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="cannot write") as refusal:
        draw(field(1), "made", tmp_path / "nowhere" / "frontier.png")
    assert "--plot" in refusal.value.hint
