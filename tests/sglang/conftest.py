"""Tests here drive the real SGLang of .venv-sglang; one engine is started for a file."""
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sglang.asks import GREEDY, SEEDED, Tokens, plain_tokens
from tests.sglang.models import write_model
from vortex.errors import VortexError
from vortex.serving.sglang.python import find_python


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder bear the marker, and are skipped where there is no SGLang."""
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    reason = _missing() if own else ""
    for item in own:
        item.add_marker(pytest.mark.sglang)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _missing() -> str:
    try:
        find_python()
    except VortexError as error:
        return f"{error.message} (make sglang-cpu)"
    return ""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """For SGLang: threads that wait for one another spin, and tiny models have nothing to share out."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of a tiny model of models.py, by its name."""
    folder = tmp_path_factory.mktemp("models")
    return lambda name: write_model(name, folder)


@pytest.fixture(scope="session")
def own_tokens(models: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Tokens]]:
    """What SGLang's own attention answers to GREEDY and to SEEDED with a model of models.py: computed once a session."""
    known: dict[str, list[Tokens]] = {}

    def tokens(name: str) -> list[Tokens]:
        if name not in known:
            known[name] = plain_tokens(models(name), [GREEDY, SEEDED], tmp_path_factory.mktemp("plain"))
        return known[name]

    return tokens
