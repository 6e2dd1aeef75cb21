"""A short storm over a simulated cluster of three nodes; `benchmarks/faults.py` is the long one."""
from pathlib import Path

import pytest

from tests.evaluator.faults import ENDS, NODES, trial

pytestmark = pytest.mark.server


def test_a_storm_loses_nothing_blames_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for number in range(16):
        (tmp_path / "disk" / str(number)).symlink_to("/dev/full")
    tally = trial(16, 1, tmp_path, every=3)
    tally.allowed_s = 20.0                                 # how fast is the benchmark's to say, on a quiet machine
    assert tally.faults == []
    assert sum(tally.storm.values()) > NODES and len(tally.kinds) == len(ENDS) and tally.overruns_s and tally.code
