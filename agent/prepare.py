"""What must be right before a campaign touches the archive: its model is served, its seeds are legal flows."""
from dataclasses import dataclass

from agent.campaign import Campaign
from agent.proposers.base import Parent
from vortex import flows
from vortex.compiler.front import load
from vortex.ir import Geometry

PAGE = 16                             # tokens of LServe's logical page
WHOLE_KEYS = ("twilight", "h2o", "tidaldecode", "relu-indexer")


@dataclass(frozen=True)
class Ready:
    """The geometry that flows are traced for, and the flows that the search starts from."""

    geometry: Geometry
    seeds: tuple[Parent, ...]


def prepare(campaign: Campaign) -> Ready:
    """Raises ModelError for a model that is not served, FlowError for a seed that is not legal."""
    from vortex.serving.checkpoint import find_checkpoint  # seconds of imports that `--help` does without

    point = campaign.point
    geometry = find_checkpoint(point.model, point.engine).shape.geometry(point.block_size)
    return Ready(geometry, tuple(_seed(name, campaign, geometry) for name in campaign.seeds or _default_seeds(campaign)))


def _seed(name: str, campaign: Campaign, geometry: Geometry) -> Parent:
    short, text, path = flows.read(name)
    return Parent(name=short, graph=load(text, path, geometry), point=campaign.point.with_(**flows.settings(path)))


def _default_seeds(campaign: Campaign) -> tuple[str, ...]:
    """The known algorithms, but for those that rank blocks as another one does, and those that read every key."""
    paged = ("lserve", "lserve-centroid") if campaign.point.block_size <= PAGE else ()
    return tuple(name for name in flows.ALGORITHMS if name not in ("centered-centroid", *WHOLE_KEYS, *paged))
