"""Is a flow so much worse than a control on the same trajectories that its accuracy need not be measured?"""
from collections.abc import Mapping, Sequence

import numpy as np

from evaluator.report import Estimate

DRAWS, SEED, LEVEL = 2000, 0, 0.95
Values = Sequence[float]


def mean(values: Values) -> Estimate:
    """With its bootstrap interval over trajectories."""
    low, high = _interval(np.asarray(values))
    return Estimate(value=float(np.mean(values)), low=low, high=high, count=len(values))


def excess(own: Values, control: Values, times: float) -> Estimate:
    """The mean over trajectories of the flow's loss less `times` the control's, with its bootstrap interval."""
    return mean([ours - times * theirs for ours, theirs in zip(own, control, strict=True)])


def worse(own: Mapping[str, Values], control: Mapping[str, Values], limits: Mapping[str, float],
          spared: Mapping[str, float]) -> str:
    """The first proxy whose loss is, by its 95 % interval, over its limit times the control's and over what is spared, in
    the proxy's own unit; empty: none is.

    A control that loses next to nothing sets no limit: many times nothing may still be a good flow, and a faster one.
    """
    for name, times in limits.items():
        if name not in own or not any(control[name]):
            continue
        if excess(own[name], control[name], times).low > 0 and mean(own[name]).low > spared.get(name, 0.0):
            return name
    return ""


def _interval(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[float, float]:
    drawn = np.random.default_rng(SEED).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
