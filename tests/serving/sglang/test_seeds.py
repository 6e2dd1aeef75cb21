"""A request's name carries its seed to where SGLang knows nothing else of it."""
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.sglang.seeds import named, request_of, seed_of


@given(name=st.text(), seed=st.integers(-2**63, 2**63 - 1))
def test_a_name_gives_its_seed_and_its_id_back(name: str, seed: int) -> None:
    assert (seed_of(named(name, seed)), request_of(named(name, seed))) == (seed, name)


def test_other_names_are_ids_and_have_seeds_that_never_change() -> None:
    assert request_of("7f0c") == "7f0c" and seed_of("7f0c") == seed_of("7f0c") != seed_of("7f0d")
    assert 0 <= seed_of("") < 2**56
