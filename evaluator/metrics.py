"""Figures beside accuracy, from rows of generated answers: pure functions, None or empty where rows do not tell.

Nothing here divides tokens by the time of the slowest request: that would reward a flow for rambling.
"""
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluator import statistics
from evaluator.report import Estimate, Row

PERCENTILES = (50, 95, 99)


def by_problem(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The repeats of each problem, in the order of the rows."""
    problems: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        problems[row.problem].append(row)
    return dict(problems)


def pass_at(rows: Sequence[Row], k: int) -> float | None:
    """The chance that one of `k` answers to a problem is exact, unbiased (Chen et al., arXiv 2107.03374), mean over problems.

    None where a problem was answered less than `k` times.
    """
    chances = []
    for repeats in by_problem(rows).values():
        n, right = len(repeats), sum(row.exact == 1 for row in repeats)
        if n < k:
            return None
        chances.append(1 - math.comb(n - right, k) / math.comb(n, k))
    return float(np.mean(chances)) if chances else None


def draws(repeats: int) -> list[int]:
    """The k of pass@k that are told: 1, 2, 4 and so on, and all of them; none of a problem that is asked once."""
    return sorted({repeats, *(1 << i for i in range(repeats.bit_length()))}) if repeats > 1 else []


def goodput(rows: Sequence[Row]) -> float | None:
    """Exact answers per device-second: what the engine worked on the rows, times the GPUs of its worker."""
    seconds = sum(float(row.data.get("device_s", 0.0)) for row in rows)
    return sum(row.exact == 1 for row in rows) / seconds if seconds else None


def tokens_per_problem(rows: Sequence[Row]) -> float | None:
    """Generated tokens of an answer: the mean over problems of the mean over repeats."""
    means = _mean_tokens(rows)
    return float(np.mean(list(means.values()))) if means else None


def drift(rows: Sequence[Row], dense: Sequence[Row]) -> Estimate | None:
    """Tokens of our answers over those of dense decode's, paired by problem; None with less than two problems in both."""
    ours, theirs = _mean_tokens(rows), _mean_tokens(dense)
    ratios = [ours[problem] / theirs[problem] for problem in ours if theirs.get(problem)]
    return statistics.median_ratio(ratios) if len(ratios) >= 2 else None


def of_dense(stage: str, rows: Sequence[Row], dense: Sequence[Row]) -> Estimate | None:
    """Accuracy as a share of dense decode's over the problems in both; None where that is nothing."""
    shared = {row.problem for row in rows}
    if not any(row.score > 0 and row.problem in shared for row in dense):
        return None
    return statistics.ratio_of_means({stage: rows}, {stage: dense})


def truncated(rows: Sequence[Row]) -> float | None:
    """The share of answers that ran into the limit of new tokens, right or not."""
    ends = [row.data["finish"] == "length" for row in rows if "finish" in row.data]
    return float(np.mean(ends)) if ends else None


def boxless(rows: Sequence[Row]) -> float | None:
    """The share of answers without a box, of those that were to have one."""
    boxes = [graded["box"] for row in rows if "box" in (graded := row.data.get("grade", {}))]
    return 1 - float(np.mean(boxes)) if boxes else None


def doubts(rows: Sequence[Row]) -> int:
    """Answers over which the two judges disagree, or that one of them did not read."""
    return sum("judge" in row.data.get("grade", {}) for row in rows)


def faults(rows: Sequence[Row]) -> dict[str, int]:
    """How many answers were none, by code (evaluator/guard)."""
    return dict(Counter(graded["fault"] for row in rows if "fault" in (graded := row.data.get("grade", {}))))


def at_caps(rows: Sequence[Row]) -> dict[str, float]:
    """Accuracy had answers been cut at lower limits of new tokens: by limit, mean over the rows."""
    caps = {cap for row in rows for cap in row.data.get("grade", {}).get("at", {})}
    return {cap: float(np.mean([row.data.get("grade", {}).get("at", {}).get(cap, row.score) for row in rows]))
            for cap in sorted(caps, key=int)}


def token_ms(rows: Sequence[Row]) -> dict[str, float]:
    """p50, p95 and p99 over answers of the milliseconds that a token took: decode time of a request over its tokens."""
    each = [1000 * row.data["decode_s"] / (row.data["tokens"] - 1) for row in rows
            if row.data.get("decode_s") and row.data.get("tokens", 0) > 1]
    return percentiles(each)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """`p50`, `p95`, `p99`; empty of nothing."""
    return {f"p{one}": float(np.percentile(values, one)) for one in PERCENTILES} if values else {}


def facts(rows: Sequence[Row], dense: Sequence[Row], repeats: int) -> Mapping[str, Any]:
    """All of the above that these rows tell, for the facts of a stage."""
    change = drift(rows, dense)
    told = {
        "tokens_per_problem": tokens_per_problem(rows), "truncated": truncated(rows), "boxless": boxless(rows),
        "goodput": goodput(rows), "token_ms": token_ms(rows), "faults": faults(rows), "doubts": doubts(rows) or None,
        "at_caps": at_caps(rows), "tokens_of_dense": change and plain(change),
        **{f"pass_at_{k}": pass_at(rows, k) for k in draws(repeats)},
    }
    return {name: value for name, value in told.items() if value is not None and value != {}}


def plain(estimate: Estimate) -> Mapping[str, Any]:
    """As JSON."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "count": estimate.count}


def _mean_tokens(rows: Sequence[Row]) -> dict[str, float]:
    told = [row for row in rows if "tokens" in row.data]
    return {problem: float(np.mean([row.data["tokens"] for row in repeats])) for problem, repeats in by_problem(told).items()}
