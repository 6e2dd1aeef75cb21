"""What a campaign file must say itself: its model, and, where that is not the shipped one, the tasks of every stage that asks."""
from collections.abc import Sequence

from agent.tables import StageTable, placed
from agent.toml_text import TomlText
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.audit import AuditStage
from evaluator.stages.traces import TracesStage
from vortex.errors import CampaignError

SHIPPED = "probe"                     # its tasks are its own words: stages that name none ask those
ASKING = (AccuracyStage, AuditStage, TracesStage)


def check_named(toml: TomlText, stages: Sequence[StageTable]) -> None:
    """Of a campaign that is right in all else, settings of `--set` included. Raises CampaignError at the table's line."""
    for model in _models(toml):
        for index, spec in enumerate(stages):
            with placed(toml, ("stage", index)):
                check_tasks(spec, model)


def check_tasks(spec: StageTable, model: str) -> None:
    """Raises CampaignError for a stage that would ask another model the shipped one's tasks unasked."""
    if model != SHIPPED and "tasks" not in spec.settings and isinstance(make_stage(spec.name, spec.settings), ASKING):
        raise CampaignError(f"stage {spec.name} names no tasks, and there are no default ones for the model {model!r}",
                            hint='Name some: tasks = ["ruler:vt:4k"]; `vortex tasks` lists them.')


def _models(toml: TomlText) -> tuple[str, ...]:
    """A list of models is a knob."""
    named = toml.body.get("point", {}).get("model")
    if not named:
        raise CampaignError("[point] names no model, and there is no default one", where=toml.where(("point",)),
                            hint='Write model = "probe" for the small model that is shipped, or a folder or name of the hub.')
    return tuple(named) if isinstance(named, list) else (named,)
