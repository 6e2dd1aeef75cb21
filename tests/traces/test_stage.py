"""The stage that turns hopeless flows away: its gate by table, and on the probe."""
from pathlib import Path

import pytest

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Row, Status
from evaluator.stage import Context
from evaluator.stages import make_stage
from evaluator.stages.traces import NAME, TracesStage, make
from evaluator.traces import judge, kept
from tests.compiler.world import built_in
from tests.tasks import asked
from tests.traces.conftest import POINT
from vortex.errors import CampaignError
from vortex.ir import Geometry
from vortex.serving.embedded.engine import EmbeddedEngine

GRAPH = built_in("quest", Geometry(16, 64, 2))
SMALL = {"tasks": ["vt-512-4hop", "multikey-512-full"], "samples": 2, "window": 8, "steps": 1}


def rows(own: float, control: float, spread: float = 0.0, count: int = 8) -> list[Row]:
    """KL of `own` and `control`, the first varying by `spread` from one trajectory to the next."""
    values = [own + (spread if i % 2 else -spread) for i in range(count)]
    return [Row(stage=NAME, problem=f"t/1/{i}", score=1.0, data={"proxies": {"kl": v, "disagreement": 0.0}, "share": 1.0,
                                                                  "control": {"kl": control, "disagreement": 0.0}})
            for i, v in enumerate(values)]


@pytest.mark.parametrize(("own", "control", "spread", "code"), [
    (0.1, 0.4, 0.0, ""), (1.4, 0.4, 0.1, ""), (1.8, 0.4, 0.05, "worse-kl"), (1.8, 0.4, 1.8, ""), (3.0, 0.0, 0.1, ""),
    (1.5, 0.001, 0.05, ""), (1.8, 0.001, 0.05, "worse-kl"),               # many times next to nothing may still be good
])
def test_only_what_is_clearly_over_the_limit_is_turned_away(own: float, control: float, spread: float, code: str) -> None:
    result = make({}).result(rows(own, control, spread), Context(point=POINT, graph=GRAPH))
    assert (result.status, result.code) == (Status.GATE if code else Status.OK, code)
    assert result.metrics["kl"].value == pytest.approx(own) and result.metrics["kl"].count == 8
    if code:
        assert f"kl is {own / control:.1f} times quest's over 8 recorded answers; up to 4 pass" in result.message


def test_a_control_and_answers_too_short_to_follow_are_never_turned_away() -> None:
    stage = make({})
    assert stage.result(rows(9.0, 0.2), Context(point=POINT, graph=GRAPH, control=True)).status is Status.OK
    short = [Row(stage=NAME, problem="t/1/9", score=1.0)]
    assert stage.result(short, Context(point=POINT, graph=GRAPH)).facts == {"trajectories": 0}
    assert stage.result([*short, *rows(1.9, 0.2)], Context(point=POINT, graph=GRAPH)).facts["trajectories"] == 8


def test_higher_is_better_for_mass() -> None:
    stage = make({"reject": {"mass": 2.0}})
    bad = [Row(stage=NAME, problem=f"t/1/{i}", score=0.1, data={"proxies": {"mass": 0.1}, "control": {"mass": 0.8}, "share": 1.0})
           for i in range(4)]
    assert stage.result(bad, Context(point=POINT, graph=GRAPH)).code == "worse-mass"


@pytest.mark.parametrize(("engine", "reject", "why"), [
    ("embedded", {"kl": 2}, ""), ("sglang", {"kl": 2}, "the sglang engine cannot do"), ("sglang", {"output_error": 2}, ""),
])
def test_engines_that_cannot_be_led_skip_it_with_the_reason(engine: str, reject: dict[str, float], why: str) -> None:
    said = make({"reject": reject}).skip(Context(point=POINT.with_(engine=engine), graph=GRAPH))
    assert why in said and bool(why) == bool(said)
    assert "dense" in make({}).skip(Context(point=POINT, graph=None))


@pytest.mark.parametrize(("settings", "said"), [
    ({"reject": {"speed": 2}}, "speed is no proxy"), ({"reject": {}}, "nothing is no proxy"),
    ({"reject": {"kl": 0}}, "greater than 0"), ({"control": "best"}, "best is no built-in flow"),
    ({"control": "dense"}, "dense is no built-in flow"),
    ({"tasks": ["nope"]}, "nope"), ({"bytes": "half"}, "equal"),
])
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(CampaignError, match=said):
        make_stage(NAME, settings)


@pytest.mark.parametrize(("bytes", "control"), [("point", "oracle"), ("equal", "rocketkv")])
def test_random_choice_is_turned_away_and_the_control_is_not(
        leader: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes: str, control: str) -> None:
    monkeypatch.setenv("VORTEX_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "_HELD", {})
    stage = make({**SMALL, "bytes": bytes, "control": control, "reject": {"kl": 1.5}, "spare": {}})
    found = {}
    for flow in (control, "random"):
        graph = built_in(flow, leader.geometry(16))
        book, work = MemoryBook(), Work(name=flow, source="", graph=graph, point=POINT.with_(topk_ratio=0.25))
        found[flow] = Funnel([stage], LocalCluster(lambda _: leader_again(leader))).judge(work, book, Silent())
        assert [row.problem for row in book.kept] == [p.id for p in stage.problems(POINT)]
        assert all(0 <= row.score <= 1 and row.data["proxies"].keys() >= {"kl", "mass"} for row in book.kept)
    assert found[control].status is Status.OK and found["random"].results[-1].code == "worse-kl"
    assert len(list((tmp_path / "traces").iterdir())) == 1                # captured once, kept whole
    again = kept._found(next((tmp_path / "traces").iterdir()).name)
    assert again is not None and len(again) == 4


def leader_again(engine: EmbeddedEngine) -> EmbeddedEngine:
    """The engine of the session, which is not to be stopped."""
    engine.start = lambda model: None  # type: ignore[method-assign]
    return engine


def test_the_interval_of_a_mean_holds_it_and_shrinks_with_agreement() -> None:
    wide, narrow = judge.mean([0.0, 1.0] * 4), judge.mean([0.4, 0.6] * 4)
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high
    assert judge.excess([3.0, 3.0], [1.0, 1.0], 2.0).low == 1.0


def test_a_stage_travels_without_answers() -> None:
    stage = make(SMALL)
    assert isinstance(stage, TracesStage)
    assert all(set(p.ask) == {"prompt", "max_new_tokens"} for p in stage.problems(POINT))


@pytest.mark.parametrize("name", ["traces", "audit", "retrieval"])
@pytest.mark.parametrize(("thinking", "empty"), [(True, False), (False, True)])
def test_a_model_with_two_modes_is_asked_in_the_one_that_is_named(tmp_path: Path, name: str, thinking: bool, empty: bool) -> None:
    point = POINT.with_(model=asked.model(tmp_path, "two-modes").model)
    settings = {"tasks": ["math:small"], "samples": 2}
    with pytest.raises(CampaignError, match="does not say which"):
        make_stage(name, settings).problems(point)
    prompts = [problem.ask["prompt"] for problem in make_stage(name, {**settings, "thinking": thinking}).problems(point)]
    assert [prompt.endswith("<think>\n\n</think>\n\n") for prompt in prompts] == [empty] * 2
