"""Both intervals of every objective where a candidate is shown: as a table, as JSON and as CSV."""
import csv
import io

from agent.cli.show import _report
from agent.cli.standings import as_csv, record
from evaluator import statistics
from evaluator.report import Report, StageResult, Status
from search.frontier import frontier
from tests.search.made import dense, entry

FIELD = frontier([dense(), entry(2, 0.9, 2.0)])


def test_the_frontier_tells_both_intervals_of_accuracy_and_speed() -> None:
    for one, line in zip(FIELD.standings, csv.DictReader(io.StringIO(as_csv(FIELD.standings))), strict=True):
        told, other = record(one), statistics.other_intervals(one.rows)
        for name, short in (("accuracy_on_this_set", "on_this_set"), ("speed_of_other_runs", "other_runs")):
            assert (told[name]["low"], told[name]["high"]) == (other[name].low, other[name].high)
            assert (float(line[f"{short}_low"]), float(line[f"{short}_high"])) == (other[name].low, other[name].high)
        assert told["speed_of_other_runs"]["high"] > told["speed"]["high"]


def test_the_report_of_a_candidate_holds_figures_with_their_intervals() -> None:
    made = entry(2, 0.9, 2.0)
    share = {"value": 0.9, "low": 0.75, "high": 1.0, "count": 40}
    result = StageResult(stage="retrieval", status=Status.OK, facts={"of_dense": share, "doubts": 2, "tasks": {"a": "1"}})
    other = statistics.other_intervals(made.by_stage)
    stage, beside = _report(Report(results=(result,)), other).splitlines()
    assert "of_dense 0.9 [0.75, 1], doubts 2" in stage and "tasks" not in stage
    assert "accuracy_on_this_set 0.9 [" in beside and "speed_of_other_runs 2" in beside
    assert _report(Report(results=(result,)), {}).splitlines() == [stage]
