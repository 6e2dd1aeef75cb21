"""Where things stand: everywhere alike by default, and where the published generator puts them in a faithful run."""
from collections.abc import Iterator
from typing import Any

import pytest
from scipy.stats import kstest

from evaluator.tasks.ruler.draft import Kind
from evaluator.tasks.ruler.draw import GRID, Draw, FaithfulDraw
from evaluator.tasks.ruler.family import KINDS

SAMPLES = 2000
# task, units of a short text of many places
UNIFORM = [("niah_single_1", 120), ("niah_single_2", 1000), ("niah_multiquery", 1000), ("vt", 120),
           ("qa_1", 160), ("qa_2", 160)]
SHUFFLED = [("cwe", 40), ("fwe", 400), ("qa_1", 30), ("qa_2", 30)]


def facts(task: str, units: int, count: int) -> Iterator[dict[str, Any]]:
    kind = ready(task)
    return (dict(kind.draw(Draw("chance", 20_000, index), units).facts) for index in range(count))


def ready(task: str) -> Kind:
    return KINDS[task].ready(2048, False, lambda text: len(text.split()))


@pytest.mark.parametrize(("task", "units"), UNIFORM, ids=[row[0] for row in UNIFORM])
def test_depths_are_uniform(task: str, units: int) -> None:
    depths = [found["depths"][index % len(found["depths"])] for index, found in enumerate(facts(task, units, SAMPLES))]
    assert kstest(depths, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("task", "units"), SHUFFLED, ids=[row[0] for row in SHUFFLED])
def test_no_two_samples_are_shuffled_alike(task: str, units: int) -> None:
    assert len({found["order"] for found in facts(task, units, 400)}) == 400


@pytest.mark.parametrize(("task", "units"), SHUFFLED, ids=[row[0] for row in SHUFFLED])
def test_faithful_samples_are_all_shuffled_alike(task: str, units: int) -> None:
    draw, kind = FaithfulDraw("chance", 42), KINDS[task].ready(4096, True, lambda text: len(text.split()))
    drafts = [kind.draw(draw.at(index), units) for index in range(20)]
    assert len({draft.facts["order"] for draft in drafts}) == 1
    assert len({draft.text for draft in drafts}) == 20


@pytest.mark.parametrize(("documents", "depth"), [(25, .92), (50, .39), (100, .71), (200, .28), (400, .59), (800, .78)])
def test_the_faithful_gold_document_stands_at_one_depth(documents: int, depth: float) -> None:
    draw, kind = FaithfulDraw("chance", 42), KINDS["qa_1"]
    for index in range(8):
        draft = kind.draw(draw.at(index), documents)
        assert [round(d, 2) for d in draft.facts["depths"]] == [depth]
        gold = draft.text.split("\n\nDocument ")[draft.facts["gold"][0] + 1]
        assert draft.answers[0] in gold


@pytest.mark.parametrize("task", ["niah_single_2", "niah_multikey_1", "niah_multivalue", "niah_multiquery"])
def test_faithful_needles_stand_on_the_grid(task: str) -> None:
    draw, seen = FaithfulDraw("chance", 42), set()
    for index in range(120):
        found = KINDS[task].draw(draw.at(index), 1500).facts
        places, lines = found["places"], found["lines"]
        on_grid = {int(lines * (depth / 100)): depth for depth in GRID}
        assert len(set(places)) == len(places) == found["needles"]
        seen |= {on_grid[place] for place in places}
    assert len(GRID) == 40 and (GRID[0], GRID[1], GRID[-1]) == (0, 3, 100)
    assert len(seen) >= 34


def test_faithful_needles_take_different_lines() -> None:
    draw = FaithfulDraw("chance", 42)
    for index in range(50):
        places = KINDS["vt"].draw(draw.at(index), 6).facts["depths"]
        assert len(set(places)) == 5


def test_a_needle_has_a_key_of_its_own() -> None:
    text = KINDS["niah_multikey_2"].draw(Draw("chance", 1, 1), 3000).text
    keys = [line.split(" for ")[1].split(" is ")[0] for line in text.split("\n") if line.startswith("Keep in mind")]
    assert len(keys) == len(set(keys)) == 3001
