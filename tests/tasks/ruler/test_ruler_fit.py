"""Fits end, and leave no room for another unit."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.tasks.ruler.draft import Steps
from evaluator.tasks.ruler.draw import Draw
from evaluator.tasks.ruler.family import KINDS
from evaluator.tasks.ruler.fit import Fit, climbed, largest, published, settled, shrunk
from vortex.errors import CampaignError

COSTS = st.lists(st.integers(0, 40), min_size=50, max_size=50).filter(lambda costs: sum(costs) > 0)
LIMITS = st.integers(0, 20_000)


def rising(start: int, costs: list[int]):  # type: ignore[no-untyped-def]
    """Tokens of so many units, whose costs come back in turns."""
    def tokens(units: int) -> int:
        whole, rest = divmod(units, len(costs))
        return start + whole * sum(costs) + sum(costs[:rest])
    return tokens


@given(start=st.integers(0, 3000), costs=COSTS, limit=LIMITS, least=st.integers(1, 20))
def test_one_more_unit_never_fits(start: int, costs: list[int], limit: int, least: int) -> None:
    tokens = rising(start, costs)
    if tokens(least) > limit:
        with pytest.raises(CampaignError, match="the shortest prompt has"):
            largest(tokens, limit, least)
        return
    units = largest(tokens, limit, least).units
    assert units >= least and tokens(units) <= limit < tokens(units + 1)


@given(start=st.integers(0, 3000), costs=COSTS, limit=LIMITS, least=st.integers(1, 20), guess=st.integers(1, 2000),
       per_unit=st.floats(0.01, 200))
def test_a_sample_settles_where_it_fits(start: int, costs: list[int], limit: int, least: int, guess: int,
                                        per_unit: float) -> None:
    tokens, fit = rising(start, costs), Fit(max(guess, least), per_unit)
    if tokens(least) > limit:
        with pytest.raises(CampaignError, match="too long"):
            settled(tokens, limit, fit, least)
        return
    units = settled(tokens, limit, fit, least)
    assert units >= least and tokens(units) <= limit


@given(start=st.integers(0, 3000), cost=st.integers(1, 40), limit=LIMITS, increment=st.integers(1, 500))
def test_the_published_search_ends_where_it_fits_or_refuses(start: int, cost: int, limit: int, increment: int) -> None:
    tokens = rising(start, [cost])
    fit = published(tokens, limit, Steps(increment))
    try:
        assert tokens(shrunk(tokens, limit, fit, increment)) <= limit
    except CampaignError as error:
        assert "fewest" in error.message and tokens(increment) > limit


def test_the_published_search_shrinks_by_whole_increments() -> None:
    assert shrunk(lambda units: 10 * units, 1000, Fit(110, 10.0), 25) == 85


def test_coded_words_are_climbed_to() -> None:
    assert climbed(lambda units: 3 * units, 1000, Steps(30, first=170)).units == 320


@given(units=st.integers(53, 5000))
def test_the_answers_of_coded_words_are_never_a_tie(units: int) -> None:
    kind = KINDS["fwe"].ready(2048, False, len)
    counts = kind.draw(Draw("fit", 1, 1), units).facts["counts"]
    assert counts[0] > counts[1] > counts[2] > counts[3] > counts[4]
