"""Calls with a fifth of faults, through the real SDKs and the ledger: every answer once, counts to the token."""
from functools import partial
from pathlib import Path

import pytest

from agent.models.pace import Pace
from tests.models.asking import NAMES, ask, connect
from tests.models.loopback import Loopback, serve
from tests.models.storm import PRICES, storm


@pytest.fixture(autouse=True)
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    monkeypatch.setenv("VORTEX_PRICES", str(tmp_path / "prices.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_kept_once_whatever_breaks(name: str, tmp_path: Path) -> None:
    figures = storm(name, 40, 0.2, tmp_path / "results.db")
    assert sum(figures["faults"].values()) >= 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_the_pace_follows_what_the_provider_bears(name: str) -> None:
    with serve(Loopback(capacity=4, work_s=0.02)) as loopback:
        model = connect(name, loopback, max_retries=8)
        pace = Pace(start=16, most=16, pause_s=0.01)
        answers = pace.run([partial(model.ask, ask(f"call {n}")) for n in range(40)])
    assert len(answers) == len(loopback.delivered) == 40
    assert pace.peak == 16 and pace.halvings >= 1 and pace.limit <= 10
