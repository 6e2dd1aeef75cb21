"""One flow judged on its own: beside the controls of a campaign, or as the rerun of a bundle."""
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from agent.campaign import Campaign, from_json
from agent.environment import measured
from agent.loop import Means, opened
from agent.named import check_tasks
from agent.opening import enter
from agent.prepare import Ready, prepare
from agent.watch import Watch
from search.candidate import Draft, Entry, flow_record
from search.export import Bundle
from search.store.archive import Archive
from vortex.config import OperatingPoint, load_point
from vortex.errors import BundleError

FlowText: TypeAlias = tuple[str, str, str]
MOST_NAME = 48                        # of the other campaign's, so that the name is one that a file may have


def campaign_for(like: Campaign, point: OperatingPoint | None) -> Campaign:
    """A campaign of its own for flows judged with the stages of `like` at one point; its name says so and tells them apart."""
    own = replace(like, name="eval", goal="one flow beside the controls", point=point or like.point, knobs=(), candidates=1)
    return replace(own, name=f"eval-{like.name[:MOST_NAME]}-{own.hash[:6]}")


def read_point(file: Path, like: Campaign) -> OperatingPoint:
    """Where the file names no model, of that of `like`. Raises PointError, and CampaignError for a stage without tasks for it."""
    point = load_point(file)
    point = point if "model" in point.model_fields_set else point.with_(model=like.point.model)
    for stage in like.stages:
        check_tasks(stage, point.model)
    return point


def judge_flow(flow: FlowText, campaign: Campaign, ready: Ready, archive: Archive, watch: Watch,
               means: Means | None = None) -> Entry:
    """Stored like any candidate of `campaign`; `flow` is what flows.read gives. Raises VortexError, and Stopped."""
    name, text, path = flow
    enter(archive, campaign)
    with opened(campaign, ready.geometry, archive, watch, means) as loop:
        try:
            loop.controls()
            record, refusal = loop.loaded(text, path)
            known = archive.find_hash(campaign.name, record.hash, campaign.point.hash)
            open_round = known.round if known is not None else 1 + max(one.round for one in archive.candidates(campaign.name))
            candidate = loop.single(Draft(campaign=campaign.name, round=open_round, slot=0 if known is None else known.slot,
                                          name=name, flow=record, point=campaign.point, author="person"), refusal)
            archive.set_state(campaign.name, "finished")
        finally:
            loop.account()
    return entry(archive, candidate.id)


def judge_bundle(bundle: Bundle, archive: Archive, watch: Watch) -> Entry:
    """The bundle's Graph at its point through the stages of its campaign, without gates.

    Raises BundleError where tasks or model are not what the bundle was measured on; VortexError, Stopped.
    """
    settings = json.loads(json.dumps(dict(bundle.manifest.settings)))
    settings["stage"] = [{key: value for key, value in stage.items() if key != "gate"} for stage in settings["stage"]]
    settings["campaign"]["controls"] = ["dense"]
    settings["campaign"]["seeds"] = []
    campaign = replace(from_json(settings, bundle.manifest.campaign), point=bundle.point, knobs=())
    check_same(bundle, measured(campaign))
    ready = prepare(campaign)
    enter(archive, campaign)
    with opened(campaign, ready.geometry, archive, watch) as loop:
        try:
            loop.controls()
            flow = flow_record(bundle.manifest.name, bundle.source, bundle.graph)
            candidate = loop.single(Draft(campaign=campaign.name, round=1, slot=0, name=bundle.manifest.name, flow=flow,
                                          point=bundle.point, author=bundle.manifest.author))
            archive.set_state(campaign.name, "finished")
        finally:
            loop.account()
    return entry(archive, candidate.id)


def check_same(bundle: Bundle, here: Mapping[str, Any]) -> None:
    """That tasks and model hold what they held wherever the bundle was measured, as far as that was written down; `here` as
    of agent/environment.py. Raises BundleError: answers to other problems are no second measurement."""
    for there in bundle.manifest.environments:
        for task, told in there.get("tasks", {}).items():
            now = here["tasks"].get(task, "absent")
            if now != told:
                raise BundleError(f"task {task} is not what the bundle was measured on: {told} then, {now} now",
                                  hint="Put back the data that it was, in the place that the task's name says.")
        kind = "identity" if "identity_by_sizes" in there else "identity_by_sizes"       # which earlier versions wrote
        then, now = there.get("identity", ""), here[kind]
        if then and then != now:
            raise BundleError(f"model {here['model']} is not the one that the bundle was measured on: {then} then, "
                              f"{now or 'absent'} now", hint="Put the same weights and tokenizer there.")


def entry(archive: Archive, id: int) -> Entry:
    """A candidate with its report and rows."""
    candidate = archive.candidate(id)
    assert candidate is not None, id
    return Entry(candidate=candidate, report=archive.report(candidate), rows=archive.rows(candidate))
