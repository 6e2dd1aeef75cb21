"""Rounds with models: shared by weight, written down, replayed after a kill, and left by those that have nothing to give."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent import mix, written
from agent.attendance import NobodyLeft
from agent.proposers.base import Proposal
from agent.tables import ProposerTable
from evaluator.report import Report, StageResult, Status
from search.candidate import Candidate, Entry
from search.store.archive import Archive, open_archive
from tests.agent.asking import Model, campaign, quick, rounds
from vortex.config import OperatingPoint
from vortex.errors import BudgetSpent, CallError, KeyRefused, Unavailable
from vortex.ir import Parameter


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "results.db")


ONE_SHOT = {"kind": "one-shot", "model": "scripted:test"}
EVOLVE = {"kind": "evolve"}


def names(proposals: Sequence[Proposal]) -> list[tuple[str, str, str]]:
    return [(one.author, one.name, one.source) for one in proposals]


def test_a_round_cut_short_is_proposed_again_the_same_and_nothing_is_asked_twice(archive: Archive) -> None:
    made = campaign(ONE_SHOT, EVOLVE)
    killed = Model(fails={2: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        rounds(made, archive, {"one-shot": killed}).propose(1, 8)
    model = Model(asks=list(killed.asks))
    first = rounds(made, archive, {"one-shot": model}).propose(1, 8)
    assert len(first) == 8 and {one.author for one in first} == {"one-shot", "evolve"}
    ledger = archive.ledger(made.name)
    answered = [call.key for call in ledger.calls() if call.answer is not None]
    assert len(answered) == len(set(answered)) == sum(one.author == "one-shot" for one in first)
    silent = Model(fails={n: AssertionError("asked again") for n in range(50)})
    assert names(rounds(made, archive, {"one-shot": silent}).propose(1, 8)) == names(first)
    assert [one.claim for one in rounds(made, archive, {"one-shot": silent}).propose(1, 8)] == [one.claim for one in first]


def test_what_a_failing_proposer_owes_the_others_give_and_a_resumed_round_is_the_same(archive: Archive) -> None:
    made, told = campaign(ONE_SHOT, EVOLVE), []
    model = Model(fails={n: KeyRefused("the key is refused") for n in range(50)})
    both = rounds(made, archive, {"one-shot": model}, told)
    found = both.propose(1, 8)
    assert [one.author for one in found] == ["evolve"] * 8 and len(model.asks) == 1
    assert told == ["one-shot proposes no more: the key is refused; evolve take its share"]
    again = rounds(made, archive, {"one-shot": Model()}, told).propose(1, 8)
    assert names(again) == names(found)
    assert len(both.propose(2, 4)) == 4 and len(model.asks) == 1


@pytest.mark.parametrize(("error", "told"), [
    (BudgetSpent("the campaign may spend 1 dollars"), None), (Unavailable("overloaded"), "overloaded"),
    (KeyRefused("refused"), "refused"),
])
def test_with_nobody_left_the_end_is_clean_or_the_error(archive: Archive, error: CallError, told: str | None) -> None:
    alone = rounds(campaign(ONE_SHOT), archive, {"one-shot": Model(fails=dict.fromkeys(range(50), error))})
    with pytest.raises(NobodyLeft) as caught:
        alone.propose(1, 4)
        alone.propose(2, 4)
    assert (None if caught.value.error is None else caught.value.error.message) == told


def test_a_budget_that_ends_within_a_round_keeps_what_was_paid(archive: Archive) -> None:
    told: list[str] = []
    limited = rounds(campaign(ONE_SHOT, calls=2), archive, {"one-shot": Model()}, told)
    assert [one.name for one in limited.propose(1, 4)] == ["idea-1", "idea-2"]
    with pytest.raises(NobodyLeft) as caught:
        limited.propose(2, 4)
    assert caught.value.error is None and "calls" in told[-1]


def entries(statuses: Sequence[Status], author: str, code: str = "") -> list[Entry]:
    point, flow = OperatingPoint(), quick("not python", "x")[0]
    return [Entry(candidate=Candidate(id=i, campaign="made", round=1, slot=i, name="x", flow=flow, point=point, author=author,
                                      status=status),
                  report=Report(results=(StageResult(stage="static", status=status, code=code, message=code),) if code else ()))
            for i, status in enumerate(statuses)]


@pytest.mark.parametrize(("statuses", "code", "reason"), [
    ([Status.DUPLICATE] * 8, "", "its last 8 ideas were known already"),
    ([Status.DUPLICATE] * 7, "", ""),
    ([Status.DUPLICATE] * 7 + [Status.OK], "", ""),
    ([Status.OK, *[Status.DUPLICATE] * 8], "", "its last 8 ideas were known already"),
    ([Status.REJECTED] * 8, "ShapeMismatch", "its last 8 ideas were refused in the same words: ShapeMismatch"),
    ([Status.REJECTED] * 5, "ShapeMismatch", ""),
])
def test_who_has_nothing_new_to_say_is_told_by_its_last_candidates(statuses: list[Status], code: str, reason: str) -> None:
    assert mix.in_vain(entries(statuses, "one-shot", code), "one-shot") == reason
    assert mix.in_vain(entries(statuses, "one-shot", code), "merge") == ""


def test_labels_tell_proposers_apart() -> None:
    specs = [ProposerTable(kind="evolve"), ProposerTable(kind="one-shot", model="a"), ProposerTable(kind="one-shot", model="b"),
             ProposerTable(kind="merge", model="a"), ProposerTable(kind="merge", model="a")]
    assert [seat.label for seat in mix.seats(specs)] == ["evolve", "one-shot a", "one-shot b", "merge a 1", "merge a 2"]


def test_shares_follow_the_weights_and_those_after_a_plateau() -> None:
    seats = mix.seats([ProposerTable(kind="evolve", weight=3.0, after_plateau=0.0),
                       ProposerTable(kind="knobs", after_plateau=1.0)])
    for seed in range(20):
        assert [(seat.label, n) for seat, n in mix.shares(seats, 8, Random(seed), False)] == [("evolve", 6), ("knobs", 2)]
    ones = [mix.shares(seats, 1, Random(seed), False)[0][0].label for seed in range(400)]
    assert 0.65 < ones.count("evolve") / 400 < 0.85
    assert [(seat.label, n) for seat, n in mix.shares(seats, 10, Random(1), True)] == [("knobs", 10)]


def test_what_was_written_of_a_round_is_read_as_it_was(archive: Archive) -> None:
    made = campaign(ONE_SHOT)
    found = rounds(made, archive, {"one-shot": Model(text="no flow at all {n}")}).propose(1, 2)
    assert [one.refusal.code for one in found if one.refusal] == ["AnswerProblem", "AnswerProblem"]
    share, = written.read(archive, made.name, 1) or ()
    assert share.proposals == tuple(found)
    kept, told = (one[0].refusal for one in (share.proposals, found))
    assert kept is not None and told is not None and (kept.message, kept.hint) == (told.message, told.hint)


def test_the_numbers_that_proposals_ask_for_are_read_as_they_were(archive: Archive) -> None:
    made = campaign(ONE_SHOT)
    one, = rounds(made, archive, {"one-shot": Model()}).propose(1, 1)
    learned = [Parameter("learned.safetensors", key, (1, 2), key * 8, key.encode() * 8) for key in ("8", "9")]
    given = tuple(replace(one, parameters=tuple(learned[:count])) for count in (1, 2, 0))
    written.write(archive, made.name, 2, [written.Share("one-shot", 3, given)])
    share, = written.read(archive, made.name, 2) or ()
    assert share.proposals == given
    assert [[p.data for p in one.parameters] for one in share.proposals or ()] == [[b"8" * 8], [b"8" * 8, b"9" * 8], []]


def test_a_round_without_models_writes_nothing(archive: Archive) -> None:
    made = campaign(EVOLVE)
    found = rounds(made, archive, {}).propose(1, 4)
    assert len(found) == 4 and written.read(archive, made.name, 1) is None
    assert names(rounds(made, archive, {}).propose(1, 4)) == names(found)


def test_who_has_no_ideas_does_not_hide_that_the_others_failed(archive: Archive) -> None:
    made = campaign(ONE_SHOT, {"kind": "merge", "model": "scripted:test"})
    several = rounds(made, archive, {"one-shot": Model(fails={1: KeyRefused("refused")}), "merge": Model()})
    with pytest.raises(NobodyLeft) as caught:
        several.propose(1, 8)
    assert caught.value.error is not None and caught.value.error.message == "refused"
    with pytest.raises(NobodyLeft):
        several.propose(2, 8)
