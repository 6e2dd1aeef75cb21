"""Proposers that ask a model: what they ask, what they make of the answers, and what they do not take on trust."""
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent.answers import Found
from agent.claims import Claim
from agent.models.base import Answer, Ask, Stop, Text, Usage
from agent.plateau import stands_still, volumes
from agent.proposers import knobs, merge
from agent.proposers.ancestry import ancestors, named
from agent.proposers.asked import said
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.one_shot import THEMES, OneShot, OneShotSettings
from agent.proposers.reflective import FRESH
from agent.proposers.registry import check_kind, make_proposer
from search.candidate import Entry, flow_record
from search.store.archive import Archive, open_archive
from tests.agent.asking import FLOW, rounds
from tests.agent.asking import campaign as made_campaign
from tests.search import made
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Geometry

PROBE = Geometry(block_size=16, head_dim=64, group=2)
KNOBS = (("topk_ratio", (0.0625, 0.125, 0.25)),)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "results.db")


def parent(name: str, id: int | None = None, share: float = 0.125) -> Parent:
    return Parent(name=name, graph=load(flows.read(name)[1], name, PROBE), point=OperatingPoint(topk_ratio=share), id=id)


def flow(name: str, doc: str = "An idea.", how: str = "max", mechanism: str = "Peaks count.") -> str:
    text = FLOW.format(n=len(doc) + len(name)).replace("idea-" + str(len(doc) + len(name)), name)
    return text.replace(f"Idea {len(doc) + len(name)}.", doc).replace("max(dim=1))", f"{how}(dim=1))").replace(
        f"peaks of page {len(doc) + len(name)} count.", mechanism)


class Script:
    """Answers in order."""

    name = "scripted:test"

    def __init__(self, *texts: str) -> None:
        self.texts, self.asks = list(texts), list[Ask]()

    def ask(self, ask: Ask) -> Answer:
        self.asks.append(ask)
        return Answer(parts=(Text(self.texts.pop(0)),), stop=Stop.END, usage=Usage(input=9, output=9), model=self.name)


def propose(kind: str, store: Archive, script: Script, *, parents: tuple[Parent, ...] = (), count: int = 4,
            entries: tuple[Entry, ...] = (), **settings: object) -> list[Proposal]:
    """One round of one proposer."""
    campaign = made_campaign({"kind": kind, "model": "scripted:test", **settings})
    desk = rounds(campaign, store, {kind: script}).desks[kind]
    round = Round(number=1, parents=parents, seeds=(parent("quest"),), geometry=PROBE, point=OperatingPoint(), knobs=KNOBS,
                  desk=replace(desk, key=f"round 1/{kind}", entries=entries))
    return list(make_proposer(kind, settings).propose(round, Random(1), count))


def test_one_shot_asks_by_theme_and_keeps_the_claim(archive: Archive) -> None:
    script = Script(flow("one"), flow("two", "Another idea."))
    found = propose("one-shot", archive, script, count=2, theme=["soft bounds", "few bits"])
    assert [one.name for one in found] == ["one", "two"]
    asked = [ask.messages[-1].parts[0].text for ask in script.asks]
    assert "soft bounds" in asked[0] and "few bits" in asked[1]
    assert found[0].claim == Claim(mechanism="Peaks count.", prediction=(("accuracy", "up", 0.02),), refuted_by="")
    assert found[0].hypothesis == "Peaks count. Predicts accuracy up by 0.02." == said(found[0].claim)
    assert all(ask.system == script.asks[0].system for ask in script.asks)


def test_themes_take_turns() -> None:
    assert [OneShot(OneShotSettings()).theme(n, i) for n, i in ((1, 0), (1, 1), (9, 0))] == [THEMES[0], THEMES[1], THEMES[0]]
    assert OneShot(OneShotSettings(theme="x")).theme(1, 0) == "x"
    assert OneShot(OneShotSettings(theme="x")).theme(1, 1).startswith("x\n")


def test_what_is_refused_goes_back_and_then_counts_as_failed(archive: Archive) -> None:
    broken = flow("one").replace(".max(dim=1)", ".mux(dim=1)")
    script = Script(broken, flow("one"))
    found, = propose("one-shot", archive, script, count=1)
    assert found.refusal is None and "mux" in script.asks[1].messages[-1].parts[0].text
    again = Script(broken, broken.replace("mux", "mox"), broken)
    other = propose("one-shot", archive, again, count=1)
    assert len(again.texts) == 3 and other[0].name == "one"               # the recorded answers of the same keys


def test_an_answer_without_a_flow_becomes_a_failed_candidate(archive: Archive) -> None:
    found, = propose("one-shot", archive, Script("Sorry.", "I cannot.", "No."), count=1)
    assert (found.name, found.refusal.code, found.source) == ("no flow", "AnswerProblem", "Sorry.")


def test_reflective_asks_for_four_and_once_more_where_all_name_ancestors(archive: Archive) -> None:
    known = [flow(f"quest-{i}", f"Quest, {'x' * i}.") for i in range(4)]
    script = Script("\n\n".join(known), flow("alone", "Page peaks."))
    found = propose("reflective", archive, script, parents=(parent("quest", 7), parent("centroid", 8)))
    assert [one.name for one in found] == ["quest-0", "quest-1", "quest-2", "alone"]
    assert [one.parents for one in found] == [(7,), (7,), (7,), ()]
    assert script.asks[1].messages[-1].parts[0].text == FRESH


def test_reflective_is_content_where_one_variant_stands_alone(archive: Archive) -> None:
    answer = "\n\n".join([flow(f"quest-{i}", f"Quest, {'x' * i}.") for i in range(3)] + [flow("alone", "Page peaks.")])
    script = Script(answer)
    assert len(propose("reflective", archive, script, parents=(parent("quest", 7),))) == 4 and not script.texts


@pytest.mark.parametrize(("name", "doc", "mechanism", "ids", "is_named"), [
    ("mine", "Like Quest, but softer.", "", (7,), True),
    ("masked_quest_2", "", "", (7,), True),
    ("mine", "", "Builds on candidate 8.", (8,), True),
    ("mine", "", "A variation of #8 and #7.", (7, 8), True),
    ("mine", "Questions asked.", "Peaks of 7 pages and 8 heads.", (), False),
    ("mine", "After ArkVale.", "", (), True),
])
def test_ancestors_are_those_that_an_idea_names(name: str, doc: str, mechanism: str, ids: tuple[int, ...],
                                                is_named: bool) -> None:
    found = Found(name=name, source=f'"""{doc}"""\n', hypothesis=Claim(mechanism=mechanism))
    parents = (parent("quest", 7), Parent(name="soft bound", graph=parent("centroid").graph, point=OperatingPoint(), id=8))
    assert tuple(one.id for one in ancestors(found, parents)) == ids
    assert named(found, parents) == is_named


def entry(id: int, name: str, accuracy: float, speed: float, parents: tuple[int, ...] = ()) -> Entry:
    one = made.entry(id, accuracy, speed, name=name)
    graph = parent(name.split(" + ")[0]).graph
    record = flow_record(name, "", graph)
    return replace(one, candidate=replace(one.candidate, flow=replace(record, hash=f"{id:032x}"), parents=parents))


def test_merge_takes_two_of_different_lineage(archive: Archive) -> None:
    found = (entry(2, "quest", 0.9, 1.5), entry(3, "quest + value energy", 0.8, 2.0, (2,)), entry(4, "centroid", 0.5, 3.0))
    pairs = {frozenset((a.id, b.id)) for a, b in merge.pairs(found)}
    assert pairs == {frozenset((2, 4)), frozenset((3, 4))}
    assert merge.pairs(found[:2]) == []
    proposals = propose("merge", archive, Script(flow("both")), entries=found, count=1)
    assert len(proposals) == 1 and set(proposals[0].parents) in ({2, 4}, {3, 4})


def test_knobs_sweep_what_was_not_tried_and_a_model_chooses_among_it(archive: Archive) -> None:
    known = parent("quest", 7)
    round = Round(number=1, parents=(known,), seeds=(), geometry=PROBE, point=OperatingPoint(), knobs=KNOBS,
                  known=frozenset({(knobs.identity(known.graph), known.point.hash)}))
    swept = list(make_proposer("knobs", {}).propose(round, Random(1), 8))
    assert {one.point.topk_ratio for one in swept} == {0.0625, 0.25} and all(one.parents == (7,) for one in swept)
    choice = [{"flow": 2, "topk_ratio": 0.25, "mechanism": "More."}, {"flow": 0, "topk_ratio": 0.9}, {"flow": 99}, {"flow": True}]
    found = propose("knobs", archive, Script(f"So:\n```json\n{json.dumps(choice)}\n```"), parents=(known,))
    assert [(one.point.topk_ratio, one.hypothesis) for one in found] == [(0.25, "More.")]


def test_a_plateau_is_rounds_without_gain() -> None:
    entries = [made.dense(), *(made.entry(i + 2, accuracy, 2.0, round=i + 1) for i, accuracy in enumerate((0.5, 0.6, 0.6, 0.6)))]
    found = volumes(entries, 4)
    assert found[0] == 0 and found[1] < found[2] == pytest.approx(found[4], rel=0.004)
    assert [stands_still(entries, number, 2) for number in range(1, 6)] == [False, False, False, False, True]


@pytest.mark.parametrize(("kind", "model", "told"), [
    ("one-shot", None, "needs a model"), ("reflective", "", "needs a model"), ("evolve", "claude-x", "asks no model"),
])
def test_who_needs_a_model_says_so(kind: str, model: str | None, told: str) -> None:
    with pytest.raises(CampaignError, match=told):
        check_kind(kind, model)
    check_kind("knobs", None)


@pytest.mark.parametrize(("kind", "settings", "told"), [
    ("one-shot", {"ideas": 0}, "one-shot: ideas"), ("reflective", {"varants": 4}, "reflective: varants"),
    ("merge", {"repairs": 9}, "merge: repairs"), ("knobs", {"theme": "x"}, "knobs: theme"),
])
def test_a_setting_that_is_not_taken_is_refused(kind: str, settings: dict[str, object], told: str) -> None:
    with pytest.raises(CampaignError, match=told):
        make_proposer(kind, settings)
