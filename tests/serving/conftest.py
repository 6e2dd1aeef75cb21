"""One started engine for all tests of serving: flows are swapped, weights are loaded once."""
from collections.abc import Iterator

import pytest

from vortex.serving.embedded.engine import EmbeddedEngine


@pytest.fixture(scope="session")
def probe() -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(device="cpu")
    engine.start("probe")
    yield engine
    engine.stop()
