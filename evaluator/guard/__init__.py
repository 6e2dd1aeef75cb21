"""What is too good or too odd to be believed: impossible times, broken outputs, scores that are no numbers, changed files."""
from evaluator.guard.numbers import row_fault
from evaluator.guard.outputs import output_fault
from evaluator.guard.roofline import beyond_pace, beyond_roofline, step_floor
from evaluator.guard.usage import less_when_timed

__all__ = ["beyond_pace", "beyond_roofline", "less_when_timed", "output_fault", "row_fault", "step_floor"]
