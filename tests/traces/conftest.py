"""The probe and a few traces of it, made once for all tests of traces."""
from collections.abc import Iterator

import pytest

from evaluator.tasks.reader import Reader
from evaluator.traces.capture import Trajectory, capture
from evaluator.traces.prompts import prompts_of
from vortex.config import OperatingPoint
from vortex.serving.embedded.engine import EmbeddedEngine

POINT = OperatingPoint()
TASKS = ("vt-512-4hop", "multikey-512-full")


@pytest.fixture(scope="session")
def leader() -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(device="cpu")
    engine.start("probe")
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def trajectories(leader: EmbeddedEngine) -> list[Trajectory]:
    return list(capture(leader, POINT, prompts_of(TASKS, 1, 1, Reader.of(POINT), 12), 2))
