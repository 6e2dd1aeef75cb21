"""Rows of flows whose true figures are known: answers drawn problem by problem, timings with noise between runs."""
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluator.report import Row, RowsByStage
from evaluator.stage import Rival
from evaluator.statistics import CONFIRM_STAGE, SPEED_STAGE

REPEATS = 10                    # timings a shape
WITHIN = 0.02                   # standard deviation of the logarithm of one timing within a run
Shares = NDArray[np.float64]


def difficulty(draw: Generator, problems: int) -> Shares:
    """The chance to solve each problem: most are nearly always or nearly never solved (Beta(1/2, 1/2))."""
    return draw.beta(0.5, 0.5, problems)


def answers(draw: Generator, shares: Shares, repeats: int = 1, ask: str = "1") -> list[Row]:
    """Right or wrong, each repeat on its own."""
    right = draw.random((len(shares), repeats)) < shares[:, None]
    return [Row(stage="reasoning", problem=f"made/{ask}/{i}", repeat=k, score=float(right[i, k]))
            for i in range(len(shares)) for k in range(repeats)]


def timings(draw: Generator, speed: float, run_spread: float, repeats: int = REPEATS) -> list[Row]:
    """One run: what it is off by as a whole, and each timing."""
    logs = np.log(speed) + run_spread * draw.standard_normal() + WITHIN * draw.standard_normal(repeats)
    return [Row(stage=SPEED_STAGE, problem="b8-c8192", repeat=i, score=float(np.exp(one))) for i, one in enumerate(logs)]


def confirm_rows(inner: RowsByStage) -> list[Row]:
    """As the confirm stage keeps them."""
    return [Row(stage=CONFIRM_STAGE, problem=f"{stage}/{row.problem}", repeat=row.repeat, score=row.score)
            for stage, rows in inner.items() for row in rows]


def rival(id: int, name: str, tier: str, searched: RowsByStage, confirmed: Sequence[Row] = ()) -> Rival:
    return Rival(id=id, name=name, tier=tier, rows={**searched, **({CONFIRM_STAGE: confirmed} if confirmed else {})})
