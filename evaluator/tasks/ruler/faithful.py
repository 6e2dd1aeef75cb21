"""`ruler-faithful:TASK:LENGTH[:SOURCE]`: the shape and the biases of the published generator, for comparison with its figures."""
from evaluator.tasks.ruler.family import RulerTask, named


def find(rest: str) -> RulerTask:
    """What stands after `ruler-faithful:`. Raises CampaignError."""
    return named("ruler-faithful", rest)
