"""What SGLang is told of a machine without a GPU."""
import pytest

from vortex.serving.sglang.cpu import CORES, DYNAMO, ENGINE, cpu_environment
from vortex.serving.sglang.launch import ranks_told


@pytest.mark.parametrize(("ranks", "cores", "wanted"), [
    (2, [0, 1, 2, 3], "0,1|2,3"), (2, [5, 3, 4], "3|4"), (4, [0, 1], "0|1|0|1"), (3, [7], "7|7|7"),
])
def test_ranks_share_the_cores_that_there_are(ranks: int, cores: list[int], wanted: str) -> None:
    assert cpu_environment(ranks, cores, {}) == {ENGINE: "1", DYNAMO: "1", CORES: wanted}


def test_one_rank_has_all_cores_and_what_is_set_stays() -> None:
    assert cpu_environment(1, [0, 1], {ENGINE: "1"}) == {DYNAMO: "1"}
    assert cpu_environment(2, [0, 1], {CORES: "1|1", DYNAMO: "0", ENGINE: "1"}) == {}


@pytest.mark.parametrize(("words", "wanted"), [
    ([], 1), (["--tp-size", "2"], 2), (["--tp=4", "--dp-size", "2"], 8), (["--model-path", "--tp"], 1), (["--dp"], 1),
])
def test_ranks_are_those_of_the_command_line(words: list[str], wanted: int) -> None:
    assert ranks_told(words) == wanted
