"""Where a measurement is taken: machine and versions, as the archive keeps them."""
import os
import platform
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.audit import AuditStage
from evaluator.stages.traces import TracesStage
from evaluator.tasks.door import find_task
from search.manifest import versions
from vortex.errors import ModelError

if TYPE_CHECKING:
    from agent.campaign import Campaign


def processor() -> str:
    """The name of the CPU, as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def environment() -> Mapping[str, Any]:
    """Machine, processor, cores, versions of Python and libraries."""
    return {"machine": platform.machine(), "processor": processor(), "cores": os.cpu_count() or 1,
            "system": f"{platform.system()} {platform.release()}", "versions": versions()}


def measured(campaign: "Campaign") -> Mapping[str, Any]:
    """The same, and what is measured there: the contents of every stage's tasks, by name, and the point's model with its
    identity."""
    stages = [make_stage(spec.name, spec.settings) for spec in campaign.stages]
    asked = [find_task(name) for stage in stages if isinstance(stage, AccuracyStage | AuditStage | TracesStage)
             for name in stage.settings.tasks]
    told: dict[str, set[str]] = defaultdict(set)                  # files of one name in several folders
    for task in asked:
        told[task.name].add(task.fingerprint())
    tasks = {name: " and ".join(sorted(found)) for name, found in sorted(told.items())}
    return {**environment(), **_identities(campaign.point.model), "tasks": tasks}


def _identities(model: str) -> Mapping[str, str]:
    """Empty for a model that does not lie here: arithmetic needs none, and what serves it says so by itself."""
    from vortex.serving import identity  # transformers takes seconds, and `vortex doctor` needs none of it here

    try:
        return {"model": model, "identity": identity.identity(model), "identity_by_sizes": identity.identity_by_sizes(model)}
    except ModelError:
        return {"model": model, "identity": "", "identity_by_sizes": ""}
