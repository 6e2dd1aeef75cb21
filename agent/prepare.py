"""What must be right before a campaign touches the archive: its model is served, its seeds are legal, its problems are there."""
from collections.abc import Sequence
from dataclasses import dataclass

from agent import exams
from agent.campaign import Campaign
from agent.proposers.base import Parent
from evaluator.stage import Problem
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.confirm import NAME as CONFIRM
from evaluator.stages.confirm import check_fresh
from evaluator.tasks.reader import Reader
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Geometry

PAGE = 16                             # tokens of LServe's logical page
WHOLE_KEYS = ("twilight", "h2o", "tidaldecode", "relu-indexer")


@dataclass(frozen=True)
class Ready:
    """The geometry that flows are traced for, and the flows that the search starts from."""

    geometry: Geometry
    seeds: tuple[Parent, ...]


def prepare(campaign: Campaign, *, measures: bool = True) -> Ready:
    """Raises ModelError for a model that is not served, FlowError for a seed that is not legal; and CampaignError where it
    `measures` and a task's data are missing, are not what they should be, or would not be fresh in an exam."""
    from vortex.serving.checkpoint import find_checkpoint  # seconds of imports that `--help` does without

    point = campaign.point
    geometry = find_checkpoint(point.model, point.engine).shape.geometry(point.block_size)
    ready = Ready(geometry, tuple(_seed(name, campaign, geometry) for name in campaign.seeds or _default_seeds(campaign)))
    if measures:
        _load_problems(campaign)
    return ready


def _load_problems(campaign: Campaign) -> None:
    """Of every stage, as the search will ask them: they are kept for the run."""
    stages = {spec.name: make_stage(spec.name, spec.settings) for spec in campaign.stages}
    for stage in stages.values():
        problems = stage.problems(campaign.point)
        if isinstance(stage, AccuracyStage):
            _check_spelling(problems, campaign.point)
    if CONFIRM in stages:
        for repeated in exams.exam(campaign.stages, exams.CONFIRM, 0).inner:
            again = stages[repeated.name]
            if isinstance(again, AccuracyStage):
                check_fresh(again, campaign.point)


def _check_spelling(problems: Sequence[Problem], point: OperatingPoint) -> None:
    """Of one problem a task."""
    for task, problem in {problem.id.split("/")[0]: problem for problem in problems}.items():
        if not Reader.of(point).spells(problem.ask["prompt"]):
            raise CampaignError(f"tokenizer mismatch: {point.model} cannot spell the problems of {task}",
                                hint="Its tokenizer has a fixed list of words. Use the tasks made for it (`vortex tasks`), or "
                                     "another model.")


def _seed(name: str, campaign: Campaign, geometry: Geometry) -> Parent:
    short, text, path = flows.read(name)
    return Parent(name=short, graph=load(text, path, geometry), point=campaign.point.with_(**flows.settings(path)))


def _default_seeds(campaign: Campaign) -> tuple[str, ...]:
    """The known algorithms, but for those that rank blocks as another one does, and those that read every key."""
    paged = ("lserve", "lserve-centroid") if campaign.point.block_size <= PAGE else ()
    return tuple(name for name in flows.ALGORITHMS if name not in ("centered-centroid", *WHOLE_KEYS, *paged))
