"""A candidate's own fault goes back to its model: once, counted, paid once, and for nothing that is not its fault."""
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agent.campaign import Campaign
from agent.models.base import Ask, Text
from agent.proposers.base import Proposal
from evaluator.report import StageResult, Status
from search.candidate import Draft
from search.store.archive import Archive, open_archive
from tests.agent.asking import FLOW, Model, campaign, quick, rounds
from vortex.errors import KeyRefused

ONE_SHOT: dict[str, object] = {"kind": "one-shot", "model": "scripted:test"}
NONE: dict[int, BaseException] = {n: AssertionError("asked again") for n in range(50)}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "results.db")


def judged(archive: Archive, number: int, proposals: Sequence[Proposal], ends: Mapping[int, Status],
           stage: str = "speed") -> None:
    """Enters a round whose candidates end as `ends` says by slot, the others ok."""
    for slot, one in enumerate(proposals):
        flow, _ = quick(one.source, one.name)
        candidate = archive.add_candidate(Draft(campaign="made", round=number, slot=slot, name=one.name, flow=flow,
                                                point=one.point, author=one.author, parents=one.parents))
        status = ends.get(slot, Status.OK)
        code, message = ("", "") if status is Status.OK else ("slow", f"{one.name} did not answer")
        book = archive.book(candidate)
        if stage != "speed":
            book.close(StageResult(stage="speed", status=Status.OK))
        book.close(StageResult(stage=stage, status=status, code=code, message=message))
        archive.finish(candidate, status)


def last(ask: Ask) -> str:
    return "".join(part.text for part in ask.messages[-1].parts if isinstance(part, Text))


def propose(made: Campaign, archive: Archive, model: Model, number: int, count: int = 4) -> Sequence[Proposal]:
    return rounds(made, archive, {"one-shot": model}).propose(number, count)


def test_a_fault_goes_back_once_and_takes_a_place_of_the_next_round(archive: Archive) -> None:
    made, model = campaign(ONE_SHOT), Model()
    first = propose(made, archive, model, 1)
    judged(archive, 1, first, {1: Status.TIMEOUT})
    second = propose(made, archive, model, 2)
    assert [one.name for one in second] == ["idea-5", "idea-6", "idea-7", "idea-8"]
    failed = next(one for one in archive.candidates("made") if one.slot == 1)
    assert [one.parents for one in second] == [(failed.id,), (), (), ()]
    asked = model.asks[4]
    assert "idea-2 was refused" in last(asked) and "speed ended with timeout (slow)\n  idea-2 did not answer" in last(asked)
    assert asked.messages[:-2] == model.asks[1].messages and asked.messages[-2].parts == (Text(FLOW.format(n=2)),)
    judged(archive, 2, second, {0: Status.TIMEOUT})
    third = propose(made, archive, model, 3)
    assert len(third) == 4 and all(one.parents == () for one in third)
    assert [call.key for call in archive.ledger("made").calls() if "mend" in call.key] == ["round 2/one-shot/mend 1/repair 1"]


@pytest.mark.parametrize(("status", "asks"), [
    (Status.COMPILE, 1), (Status.NUMERICS, 1), (Status.CRASH, 1), (Status.TIMEOUT, 1), (Status.MEMORY, 1),
    (Status.GATE, 0), (Status.STOPPED, 0), (Status.HACK, 0), (Status.REJECTED, 0), (Status.INFRASTRUCTURE, 0), (Status.OK, 0),
])
def test_only_a_fault_of_its_own_goes_back(archive: Archive, status: Status, asks: int) -> None:
    made = campaign(ONE_SHOT)
    judged(archive, 1, propose(made, archive, Model(), 1, 2), {0: status})
    propose(made, archive, Model(), 2, 2)
    assert sum("mend" in call.key for call in archive.ledger("made").calls()) == asks


def test_a_fault_in_an_exam_is_told_to_nobody(archive: Archive) -> None:
    made, model = campaign(ONE_SHOT), Model()
    judged(archive, 1, propose(made, archive, model, 1), {0: Status.CRASH}, stage="confirm")
    propose(made, archive, model, 2)
    assert not any("was refused" in last(ask) for ask in model.asks)


def test_a_round_cut_off_after_a_mended_flow_pays_for_it_once(archive: Archive) -> None:
    made = campaign(ONE_SHOT)
    judged(archive, 1, propose(made, archive, Model(), 1), {2: Status.CRASH, 3: Status.MEMORY})
    killed = Model(fails={3: KeyboardInterrupt()}, text=FLOW.replace("{n}", "1{n}"))
    with pytest.raises(KeyboardInterrupt):
        propose(made, archive, killed, 2)
    found = propose(made, archive, Model(text=FLOW.replace("{n}", "2{n}")), 2)
    assert [one.name for one in found] == ["idea-11", "idea-12", "idea-21", "idea-22"]
    assert [one.source for one in propose(made, archive, Model(fails=NONE), 2)] == [one.source for one in found]
    answered = [call.key for call in archive.ledger("made").calls() if call.answer is not None]
    assert len(answered) == len(set(answered))


def test_no_more_go_back_than_its_share_of_a_round_and_none_where_repairs_are_off(archive: Archive) -> None:
    made = campaign(ONE_SHOT)
    faults = dict.fromkeys(range(4), Status.CRASH)
    judged(archive, 1, propose(made, archive, Model(), 1), faults)
    model = Model(text=FLOW.replace("{n}", "1{n}"))
    assert len(propose(made, archive, model, 2, 2)) == 2 and len(model.asks) == 2
    off, silent = campaign({**ONE_SHOT, "repairs": 0}), Model()
    judged(archive, 3, propose(off, archive, Model(text=FLOW.replace("{n}", "3{n}")), 3), faults)
    propose(off, archive, silent, 4)
    assert not any("was refused" in last(ask) for ask in silent.asks)


def test_the_same_text_again_takes_no_place(archive: Archive) -> None:
    made = campaign(ONE_SHOT)
    judged(archive, 1, propose(made, archive, Model(), 1, 1), {0: Status.CRASH})
    model = Model()                      # begins with idea-1 again
    found = propose(made, archive, model, 2, 1)
    assert [one.name for one in found] == ["idea-2"] and found[0].parents == ()


def test_who_cannot_be_asked_leaves_its_places_to_the_others_and_the_evolver_mends_nothing(archive: Archive) -> None:
    made = campaign(ONE_SHOT, {"kind": "evolve"})
    both = rounds(made, archive, {"one-shot": Model()})
    first = both.propose(1, 4)
    judged(archive, 1, first, dict.fromkeys(range(4), Status.CRASH))
    refused = Model(fails={1: KeyRefused("refused")})
    found = rounds(made, archive, {"one-shot": refused}).propose(2, 4)
    assert [one.author for one in found] == ["evolve"] * 4 and len(refused.asks) == 1
    assert [call.proposer for call in archive.ledger("made").calls() if "mend" in call.key] == ["one-shot"]
