"""The table of selectors: measured by the real engine, resumed where it stood, and shown as it was measured."""
import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import selector_page  # noqa: E402
import selector_table  # noqa: E402

from vortex.serving import make_engine  # noqa: E402

NAME = "multikey-512-full"


def _cell(value: float, half: float, count: int) -> dict[str, Any]:
    return {"count": count, "exact": [value, value - half, value + half], "score": [value, value - half, value + half]}


COMPARED = [
    (0.50, 0.52, 100, True),
    (0.50, 0.70, 100, False),
    (0.50, 0.62, 100, True),               # 0.12 is within hypot(0.1, 0.1)
    (0.50, 0.62, 10_000, False),           # and outside of hypot(0.1, 0.01)
]


@pytest.mark.parametrize(("ours", "published", "count", "within"), COMPARED)
def test_figures_agree_when_their_difference_is_within_its_noise(
    ours: float, published: float, count: int, within: bool
) -> None:
    table = {"count": count, "cells": {"quest 4": [published, None]}}
    compared = selector_page.compare(_cell(ours, 0.1, 100), table, "quest 4", "exact")
    assert compared is not None and compared["within"] is within
    assert selector_page.compare(_cell(ours, 0.1, 100), table, "quest 4", "score") is None


def test_cells_are_measured_by_the_engine_and_known_ones_are_kept(tmp_path: Path) -> None:
    path, known = tmp_path / "table.json", _cell(0.25, 0.1, 2)
    path.write_text(json.dumps({"cells": {NAME: {"recent 2": known}}}))
    engine = make_engine("embedded")
    engine.start("probe")
    plan = ((NAME, selector, 2 if selector != "dense" else 0) for selector in ("dense", "recent", "oracle-peak"))
    cells = selector_table.run(engine, plan, {NAME: 2}, path)["cells"][NAME]
    engine.stop()
    assert json.loads(path.read_text())["cells"][NAME] == cells
    assert cells["recent 2"] == known
    assert cells["dense"]["exact"][0] == cells["oracle-peak 2"]["exact"][0] == 1


def test_all_dense_cells_are_measured_before_any_selector() -> None:
    plan = list(selector_table.planned(["chain-30", NAME], [2, 4]))
    assert plan[:2] == [("chain-30", "dense", 0), (NAME, "dense", 0)]
    assert len(plan) == len(set(plan)) == 2 + 2 * 2 * len(selector_table.SELECTORS)


def test_the_page_shows_the_recorded_results(tmp_path: Path) -> None:
    page = tmp_path / "probe.md"
    page.write_text(selector_page.PAGE.read_text())
    selector_page.write_page(page=page)
    assert page.read_text() == selector_page.PAGE.read_text()
