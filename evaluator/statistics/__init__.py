"""Figures with their error bars, and comparisons of candidates over the problems they share: pure functions of rows."""
from evaluator.statistics.best import best_of, shrunken
from evaluator.statistics.centre import LEVEL
from evaluator.statistics.confirm import Confirmation, confirmation, split_confirm
from evaluator.statistics.dominance import RUN_SPREAD, SPEED_FLOOR, chance_on_frontier, probability_dominates
from evaluator.statistics.names import ACCURACY_STAGES, CONFIRM_STAGE, SPEED_STAGE
from evaluator.statistics.power import detectable, is_bound
from evaluator.statistics.repeats import fewest_repeats, of_other_runs, on_this_set, other_intervals
from evaluator.statistics.scores import (
    accuracy,
    accuracy_rows,
    difference,
    mean,
    mean_of_tasks,
    probability_at_least,
    ratio_of_means,
    scores_by_task,
    task_of,
)
from evaluator.statistics.timings import median_ratio, per_repeat, probability_as_fast, speed

__all__ = [
    "ACCURACY_STAGES", "CONFIRM_STAGE", "LEVEL", "RUN_SPREAD", "SPEED_FLOOR", "SPEED_STAGE", "Confirmation", "accuracy",
    "accuracy_rows", "best_of", "chance_on_frontier", "confirmation", "detectable", "difference", "fewest_repeats",
    "is_bound", "mean", "mean_of_tasks", "median_ratio", "of_other_runs", "on_this_set", "other_intervals", "per_repeat",
    "probability_as_fast", "probability_at_least", "probability_dominates", "ratio_of_means", "scores_by_task", "shrunken",
    "speed", "split_confirm", "task_of",
]
