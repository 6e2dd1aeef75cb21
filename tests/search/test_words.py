"""Figures as people read them."""
import pytest

from evaluator.report import Estimate
from search.words import accuracy_text, bytes_text, lengths_text, share_text, speed_text


@pytest.mark.parametrize(("share", "said"), [
    (0.125, "1/8"), (0.0625, "1/16"), (1 / 3, "1/3"), (1.0, "all"), (0.3, "30%"), (0.0, "0%"), (0.0123, "1.23%")])
def test_shares(share: float, said: str) -> None:
    assert share_text(share) == said


@pytest.mark.parametrize(("lengths", "said"), [
    ((), ""), ((1024,), " @1K"), ((576, 1024), " @576-1K"), ((4096, 8192, 16384), " @4K-16K"), ((1056,), " @1056")])
def test_lengths(lengths: tuple[int, ...], said: str) -> None:
    assert lengths_text(lengths) == said


@pytest.mark.parametrize(("size", "said"), [
    (None, "-"), (0, "0 B"), (999, "999 B"), (67e6, "67 MB"), (12.6e6, "12.6 MB"), (840_000, "840 kB"), (2.5e9, "2.5 GB")])
def test_sizes(size: float | None, said: str) -> None:
    assert bytes_text(size) == said


def test_values_carry_their_error_bars() -> None:
    assert accuracy_text(Estimate(value=0.94, low=0.92, high=0.96, count=9)) == "0.94 ±.02"
    assert speed_text(Estimate(value=3.9, low=2.9, high=4.9, count=9)) == "3.90x ±1.00"
