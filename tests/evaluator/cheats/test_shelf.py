"""Every cheat on the shelf is caught, by the name that stands beside it."""
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.evaluator.cheats.shelf import SPEED, THROUGH, Cheat, confirmed, loaded, rows, served, shelf, tampered
from tests.evaluator.cheats.texts import INNOCENT, body
from vortex.serving.embedded.engine import EmbeddedEngine

pytestmark = pytest.mark.usefixtures("one_thread")

@pytest.fixture(scope="module")
def cheats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cheat]]:
    with ExitStack() as stack:
        yield shelf(stack, tmp_path_factory.mktemp("cheats"))


@pytest.mark.parametrize("door", ["flow", "sandbox", "engine", "figures", "files", "words"])
def test_every_cheat_is_caught_by_its_name(cheats: list[Cheat], door: str) -> None:
    here = [cheat for cheat in cheats if cheat.shelf == door]
    if door == "sandbox" and not here:
        pytest.skip("this machine has no sandbox, and refuses such texts")
    found = {cheat.tries: cheat.attempt() for cheat in here}
    assert found == {cheat.tries: cheat.caught_by for cheat in here}


def test_what_is_honest_is_caught_by_nothing(tmp_path: Path) -> None:
    """The doors open for some: each check of the shelf can fail."""
    assert loaded(body(INNOCENT)) == "no effect"
    assert loaded(body("return ops.topk(q.mean(dim=1) @ cache['k'].mean(dim=1).T)")) == THROUGH
    assert served(EmbeddedEngine, "numerics", {}) == THROUGH
    assert served(EmbeddedEngine, "speed", SPEED) == THROUGH
    assert confirmed(rows(lambda i: 1.0), rows(lambda i: float(i % 2))) == THROUGH
    assert tampered(tmp_path, "LEVEL = 0.95\n") == THROUGH
