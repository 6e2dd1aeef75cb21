"""What stages make of generated answers: draws, chunks, faults, races, signal, and limits scored together."""
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import statistics
from evaluator.report import Row, Status
from evaluator.stage import Answered, Context, Rival
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from tests.evaluator.scripted import POINT, graph
from tests.tasks.test_fixed import lines, problems
from vortex.errors import CampaignError
from vortex.serving.engine import Completion, Request

SMALL = {"tasks": ["math:small"], "max_new_tokens": 64, "samples": 10}


def stage(name: str = "reasoning", **settings: Any) -> AccuracyStage:
    made = make_stage(name, {**SMALL, **settings})
    assert isinstance(made, AccuracyStage)
    return made


class Letters:
    """A tokenizer whose tokens are letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


class Parrot:
    """An engine that says the same to every request, the last one first, and notes what it was asked."""

    tokenizer = Letters()

    def __init__(self, says: str = r"\boxed{7}") -> None:
        self.says = says
        self.asked: list[list[Request]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.asked.append(list(requests))
        for request in reversed(requests):
            yield Completion(id=request.id, tokens=tuple(map(ord, self.says)), finish="stop", prefill_s=1, decode_s=1)


def answered(made: AccuracyStage, engine: Any, done: Sequence[tuple[str, int]] = ()) -> list[Answered]:
    return list(made.run(engine, None, POINT, made.problems(POINT), set(done)))


def rows_of(made: AccuracyStage, right: float = 1.0, only: int | None = None) -> list[Row]:
    keys = [(one.id, repeat) for one in made.problems(POINT) for repeat in range(one.repeats)][:only]
    return [Row(stage=made.name, problem=id, repeat=repeat, score=right, exact=right) for id, repeat in keys]


def test_each_repeat_has_a_draw_of_its_own_and_another_seed_has_others() -> None:
    def seeds(seed: int) -> list[int]:
        engine = Parrot()
        answered(stage(repeats=3, seed=seed), engine)
        assert all((one.temperature, one.top_p, one.top_k) == (0.6, 0.95, 20) for one in engine.asked[0])
        return [one.seed for chunk in engine.asked for one in chunk]

    assert len(set(seeds(1))) == 30
    assert seeds(1) == seeds(1)
    assert not set(seeds(1)) & set(seeds(2))


def test_a_cut_off_run_asks_the_same_chunks_again_and_yields_what_is_missing() -> None:
    made, whole = stage(repeats=3, chunk=6), Parrot()
    everything = answered(made, whole)
    assert [len(chunk) for chunk in whole.asked] == [6] * 5 and len(everything) == 30
    keys = [(one.problem, one.repeat) for one in everything]
    resumed = Parrot()
    rest = answered(made, resumed, keys[:8])
    assert [(one.problem, one.repeat) for one in rest] == keys[8:]
    assert resumed.asked == whole.asked[1:]
    assert all(one.data["device_s"] >= 0 for one in everything)


def test_what_travels_holds_no_answers() -> None:
    made = stage()
    engine_side = pickle.dumps((made, made.problems(POINT)))
    assert b"answer'" not in engine_side and b"wanted" not in engine_side
    assert set(made.problems(POINT)[0].ask) == {"prompt", "max_new_tokens", "temperature", "top_p", "top_k", "seed"}
    assert set(make_stage("retrieval", {"samples": 1}).problems(POINT)[0].ask) == {"prompt", "max_new_tokens"}


@pytest.mark.parametrize(("text", "finish", "told"), [
    ("", "stop", {"fault": "empty"}), ("!" * 64, "length", {"fault": "not-a-number"}), ("7", "stop", {"box": False}),
])
def test_outputs_that_are_none_score_nothing_and_are_counted(text: str, finish: str, told: dict[str, Any]) -> None:
    made = stage()
    problem = made.problems(POINT)[0]
    data = {"text": text, "tokens": len(text), "finish": finish}
    row = made.grade(problem, Answered(problem=problem.id, data=data), POINT)
    assert (row.score, row.data["grade"]) == (0.0, told)
    assert made.result([row], Context(point=POINT, graph=graph())).facts.get("faults", {}) == \
        ({told["fault"]: 1} if "fault" in told else {})


def test_one_generation_is_scored_at_lower_limits_as_well(tmp_path: Path) -> None:
    path = lines(tmp_path / "one.jsonl", [{"prompt": "?", "answer": 7, "scorer": "number"}])
    made = stage(tasks=[f"file:{path}"], caps=[12, 64], repeats=1)
    problem = made.problems(POINT)[0]
    (answer,) = answered(made, Parrot("it could be 9, no: it is 7"))
    row = made.grade(problem, answer, POINT)
    assert (row.problem.split("/")[0], row.score, row.data["grade"]["at"]) == ("file:one", 1.0, {"12": 0.0})
    assert made.result([row], Context(point=POINT, graph=graph())).facts["at_caps"] == {"12": 0.0}


@pytest.mark.parametrize(("dense", "right", "code"), [(True, 0.0, "no-signal"), (False, 0.0, ""), (True, 1.0, "")])
def test_a_task_that_dense_decode_cannot_do_has_no_signal(dense: bool, right: float, code: str) -> None:
    made = stage()
    result = made.result(rows_of(made, right), Context(point=POINT, graph=None if dense else graph()))
    assert (result.code, result.status) == (code, Status.GATE if code else Status.OK)
    assert not code or "math:small" in result.message


@pytest.mark.parametrize(("settings", "column", "right", "code"), [
    ({}, {}, 4, ""), ({"chance": 0.25}, {}, 4, "no-signal"), ({"chance": 0.25}, {}, 9, ""),
    ({}, {"chance": 0.25}, 4, "no-signal"), ({"chance": 0.25}, {"chance": 0.0}, 4, ""),     # what a problem says goes first
])
def test_a_task_that_can_be_guessed_must_be_done_better_than_that(tmp_path: Path, settings: dict[str, Any],
                                                                  column: dict[str, float], right: int, code: str) -> None:
    """Four of twelve right: above nothing beyond doubt, and not above one in four."""
    made = stage(tasks=["file:" + lines(tmp_path / "choice.jsonl", [{**one, **column} for one in problems(12)])], samples=12,
                 repeats=1, **settings)
    result = made.result(scored(made, [1.0] * right + [0.0] * (12 - right)), Context(point=POINT, graph=None))
    assert result.code == code
    assert not code or ("file:choice: 0.333 [" in result.message and "guessing scores 0.25" in result.message)


def test_chance_is_the_mean_over_the_problems_of_a_task(tmp_path: Path) -> None:
    """Half of them guessed one time in two, half never: four of twelve is no more than guessing."""
    told = [{**one, "chance": 0.5 * (place % 2)} for place, one in enumerate(problems(12))]
    made = stage(tasks=["file:" + lines(tmp_path / "mixed.jsonl", told)], samples=12, repeats=1)
    result = made.result(scored(made, [1.0] * 4 + [0.0] * 8), Context(point=POINT, graph=None))
    assert result.code == "no-signal" and "guessing scores 0.25" in result.message


def test_facts_tell_what_was_asked_and_what_can_be_seen() -> None:
    made = stage(repeats=2)
    dense = rows_of(made)
    facts = made.result(rows_of(made, 0.0), Context(point=POINT, graph=graph(), dense=dense)).facts
    assert facts["tasks"]["math:small"].startswith("fixed-1 40 problems")
    assert 0 < facts["detectable"] <= 1 and facts["pass_at_2"] == 0
    assert facts["of_dense"]["value"] == 0
    assert facts["on_this_set"]["value"] == 0 and 0 < facts["on_this_set"]["high"] < facts["by_task"]["math:small"]["high"]
    assert made.fingerprints() == facts["tasks"]


@pytest.mark.parametrize(("is_dense", "repeats", "name"), [
    (True, 1, "detectable_at_most"), (True, 2, "detectable"), (False, 1, "detectable")])
def test_what_can_be_seen_is_a_bound_until_another_flow_or_repeats_tell_what_is_shared(is_dense: bool, repeats: int,
                                                                                      name: str) -> None:
    made = stage(repeats=repeats)
    rows = [replace(row, score=float(index % 2)) for index, row in enumerate(rows_of(made))]
    facts = made.result(rows, Context(point=POINT, graph=None if is_dense else graph(), dense=() if is_dense else rows)).facts
    assert [key for key in facts if key.startswith("detectable")] == [name]


def test_generated_problems_are_counted_without_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage("retrieval", tasks=["multikey-1k-full", "math:small"], samples=64, max_new_tokens=8)
    drawn: list[str] = []
    monkeypatch.setattr(AccuracyStage, "_of", lambda self, task, point: drawn.append(task) or [None] * 40)
    assert made.sizes(POINT) == {"retrieval/multikey-1k-full": 64, "retrieval/math:small": 40}
    assert drawn == ["math:small"]


@pytest.mark.parametrize(("step_s", "own", "told"), [
    (0.01, True, True), (0.03, True, False), (0.01, False, False),        # ten times dense decode's pace; three times; not timed
])
def test_a_pace_of_answers_beyond_the_bytes_that_are_spared_is_told_and_nobody_ends_by_it(step_s: float, own: bool,
                                                                                          told: bool) -> None:
    made = stage(repeats=1)
    ours, dense = ([replace(row, data={"tokens": 11, "decode_s": 10 * pace}) for row in rows_of(made)] for pace in (step_s, 0.1))
    timed = [replace(row, data={"bytes_per_step": 1, "dense_bytes_per_step": 4}) for row in _speed(3.0)]
    result = made.result(ours, Context(point=POINT, graph=graph(), dense=dense, own={"speed": timed} if own else {}))
    assert result.status is Status.OK and ("pace" in result.facts) is told


def _speed(score: float) -> list[Row]:
    return [Row(stage="speed", problem="b1-c64", repeat=repeat, score=score + repeat / 1000) for repeat in range(4)]


def _race(made: AccuracyStage, **changes: Any) -> Context:
    rival = Rival(id=1, name="quest", tier="confirmed", rows={"speed": _speed(3.0), "reasoning": rows_of(made)})
    settings: dict[str, Any] = {"own": {"speed": _speed(1.0)}, "rivals": [rival], "graph": graph(), "point": POINT}
    return Context(**settings | changes)


def test_a_lost_race_ends_after_a_whole_chunk() -> None:
    made = stage(repeats=2, chunk=4, race=0.2)
    lost, context = rows_of(made, 0.0), _race(made)
    assert [made.hopeless(lost[:count], context) for count in (1, 3, 7, 8, 12)] == [False, False, False, True, True]
    result = made.result(lost[:8], context)
    assert (result.status, result.code) == (Status.STOPPED, "no-chance")
    assert "8 of 20 answers" in result.message


def test_the_less_is_left_the_less_a_race_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chance of .1 is under .2 times the share that is left while more than half is left; other stages' answers count."""
    monkeypatch.setattr(statistics, "chance_on_frontier", lambda own, rivals, total: 0.1)
    made, half = stage(repeats=2, chunk=4, race=0.2), [replace(row, stage="chain") for row in rows_of(stage(repeats=1))]
    rows = rows_of(made)
    assert [made.hopeless(rows[:n], _race(made)) for n in (4, 8, 12, 16)] == [True, True, False, False]
    later = _race(made, own={"speed": _speed(1.0), "chain": half})
    assert [made.hopeless(rows[:n], later) for n in (4, 8, 12, 16)] == [False] * 4


def test_nothing_is_lost_before_the_first_answer_and_a_later_stage_may_still_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind on all of an earlier stage, as fast, and this one not begun: what would a verdict over no answers be?"""
    made = stage(chunk=4, race=0.5, repeats=1)
    before = [Row(stage="retrieval", problem=f"vt/1/{i}", score=0.9) for i in range(40)]
    ahead = Rival(id=1, name="quest", tier="confirmed", rows={
        "speed": _speed(1.0), "retrieval": [replace(row, score=1.0) for row in before], "reasoning": rows_of(made, 0.5)})
    context = _race(made, own={"speed": _speed(1.0), "retrieval": before}, rivals=[ahead])
    assert not made.hopeless([], context)
    assert made.hopeless(rows_of(made, 0.0)[:4], context) and not made.hopeless(rows_of(made, 1.0)[:8], context)
    first = replace(_race(made, rivals=[replace(ahead, rows={"speed": _speed(1.0), "reasoning": rows_of(made)})]), later={})
    assert made.hopeless(rows_of(made, 0.0)[:8], first)
    asked: list[float] = []
    monkeypatch.setattr(statistics, "chance_on_frontier", lambda own, rivals, total: asked.append(sum(total.values())) or 0.3)
    assert not made.hopeless(rows_of(made, 0.0)[:8], first)
    assert made.hopeless(rows_of(made, 0.0)[:8], replace(first, later={"chain/chain-10-1k": 40}))
    assert asked == [10, 50]


@pytest.mark.parametrize("changes", [{"control": True}, {"graph": None}, {"own": {}}, {"rivals": []}])
def test_controls_and_what_was_not_timed_race_against_nobody(changes: dict[str, Any]) -> None:
    made = stage(repeats=2, chunk=4, race=0.2)
    assert not made.hopeless(rows_of(made, 0.0)[:12], _race(made, **changes))
    assert not stage(repeats=2, chunk=4).hopeless(rows_of(made, 0.0)[:12], _race(made))


def scored(made: AccuracyStage, scores: Sequence[float]) -> list[Row]:
    return [replace(row, score=score) for row, score in zip(rows_of(made), scores, strict=False)]


@pytest.mark.parametrize(("gate", "right", "code"), [
    (">= 0.8 of dense", 8, ""), (">= 0.8 of dense", 7, "below-gate"), ("possibly >= 0.8 of dense", 7, ""),
    ("possibly >= 0.8 of dense", 3, "below-gate"), ("surely >= 0.8 of dense", 8, "below-gate"),
    ("surely >= 0.6 of dense", 10, ""), ("possibly >= 0.5", 4, ""), ("surely >= 0.5", 7, "below-gate"), ("surely >= 0.5", 9, ""),
])
def test_gates_by_value_and_by_the_ends_of_intervals(gate: str, right: int, code: str) -> None:
    made = stage(gate=gate, repeats=1)
    rows = scored(made, [1.0] * right + [0.0] * (10 - right))
    result = made.result(rows, Context(point=POINT, graph=graph(), dense=rows_of(made)))
    assert result.code == code
    assert not code or (result.message.count("[") == 2 and gate in result.message)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task of two problems; the model that reads it is loaded, which takes longer than an example may."""
    stage().problems(POINT)
    return "file:" + lines(tmp_path_factory.mktemp("own") / "two.jsonl", problems(2))


@given(st.sampled_from(["", "possibly ", "surely "]), st.sampled_from([">= 0.5", ">= 0.9 of dense"]), st.integers(0, 12),
       st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=12, max_size=12),
       st.lists(st.sampled_from([0.0, 1.0]), min_size=12, max_size=12))
def test_nothing_is_stopped_that_could_still_pass(two: str, doubt: str, gate: str, seen: int, scores: list[float],
                                                  dense: list[float]) -> None:
    """Of two tasks one has fewer problems, and each weighs the same."""
    made = stage("retrieval", tasks=["math:small", two], gate=doubt + gate, max_new_tokens=8)
    context = Context(point=POINT, graph=graph(), dense=scored(made, dense))
    if made.hopeless(scored(made, scores[:seen]), context):
        rest = [*scores[:seen], *[1.0] * (12 - seen)]
        assert made.result(scored(made, rest), context).code == "below-gate"
        assert made.result(scored(made, scores), context).code == "below-gate"


def test_a_small_task_that_is_solved_can_save_what_a_large_one_lost(two: str) -> None:
    made = stage("retrieval", tasks=["math:small", two], gate=">= 0.5", max_new_tokens=8)
    context = Context(point=POINT, graph=graph())
    lost = [replace(row, score=float("two" in row.problem)) for row in rows_of(made)]
    assert not made.hopeless(lost[:11], context)
    assert made.result(lost[:11] + scored(made, [1.0] * 12)[11:], context).code == ""


@pytest.mark.parametrize(("settings", "why", "hint"), [
    ({"tasks": []}, "no default one", "vortex tasks"), ({"tasks": ["math:smal"]}, "no set", "small"),
    ({"tasks": ["file:a/x.jsonl", "file:b/x.jsonl"]}, "task file:x stands 2 times", ""),
    ({"race": 1}, "race", ""), ({"chance": 1.0}, "chance", ""), ({"seed": 1 << 32}, "seed", ""), ({"race": -0.1}, "race", ""),
    ({"repeat": 2}, "no setting repeat", "repeats"), ({"max_new_tokens": 8, "caps": [4, 9]}, "caps: 9 cuts nothing", "[4, 9]"),
])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], why: str, hint: str) -> None:
    with pytest.raises(CampaignError, match=why) as refusal:
        stage(**settings)
    assert hint in refusal.value.hint


def test_answers_longer_than_the_model_reads_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"more than the [\d,]+ of probe"):
        stage(max_new_tokens=100_000).problems(POINT)


def test_confirmation_draws_from_problems_that_the_search_has_not_seen(tmp_path: Path) -> None:
    path = lines(tmp_path / "many.jsonl", problems(200))
    made = stage(tasks=[f"math:aime24={path}"], samples=200)
    search, confirm = ({one.ask["prompt"] for one in each.problems(POINT)} for each in (made, made.seeded(1 << 62)))
    assert search and confirm and not search & confirm
