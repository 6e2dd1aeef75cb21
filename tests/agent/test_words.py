"""What a running campaign says of a candidate's stages."""
import pytest

from agent.cli.words import cells
from evaluator.report import Report, StageResult, Status
from tests.search.made import entry

STAGES = ("static", "traces", "audit", "speed")


@pytest.mark.parametrize(("ran", "said"), [
    ((), []), (("static",), ["ok"]), (("static", "audit"), ["ok", "skipped", "ok"]), (("confirm",), []),
])
def test_each_stage_stands_under_its_name_whatever_was_skipped(ran: tuple[str, ...], said: list[str]) -> None:
    report = Report(results=tuple(StageResult(stage=name, status=Status.OK) for name in ran))
    assert cells(entry(1).candidate, report, STAGES) == said
