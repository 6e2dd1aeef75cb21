"""Whether a search still gains: the hypervolume of its frontier, round by round, as a pure function of entries."""
from collections.abc import Sequence

from search.candidate import Entry
from search.frontier import frontier, hypervolume

LEAST_GAIN = 0.005                    # of the hypervolume; less than that is the noise of a decoder's clock


def volumes(entries: Sequence[Entry], rounds: int) -> list[float]:
    """The hypervolume of what was found up to each round: 0 (nothing), 1, ... `rounds`."""
    found = [one for one in frontier(entries).standings if one.candidate.round > 0]
    return [hypervolume([(one.accuracy.value, one.speed.value) for one in found if one.candidate.round <= number])
            for number in range(rounds + 1)]


def stands_still(entries: Sequence[Entry], number: int, patience: int) -> bool:
    """Whether the last `patience` rounds before round `number` brought no gain; never before there were so many."""
    if number - 1 <= patience:
        return False
    found = volumes(entries, number - 1)
    return found[-1] <= (1 + LEAST_GAIN) * found[-1 - patience]
