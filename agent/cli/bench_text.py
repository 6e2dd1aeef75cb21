"""What `vortex bench` prints, for people and as JSON."""
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from agent.cli.bench_server import BenchServer
from agent.cli.served import Served
from agent.cli.text import columns
from agent.environment import environment
from evaluator.statistics import median_ratio
from vortex.serving.load.compare import STEADY, Compared, Turn, compare
from vortex.serving.load.duel import Duel
from vortex.serving.load.grid import DENSE, Cell, Side

LATE_S = 0.05                             # a client that sends later than this is told of
MOST_TOLD = 3                             # dense turns in the table
ROWS = (("to first token", "ttft"), ("a token after it", "tpot"), ("between tokens", "gap"), ("whole request", "whole"))
RATES = (("output tokens/s", "tokens/s"), ("requests/s", "requests/s"), ("goodput, requests/s", "goodput"))


def load_record(url: str, asked: Served, duel: Duel, turns: Sequence[Turn]) -> dict[str, Any]:
    """Without the single requests."""
    return {"server": url, "model": asked.model, "flow": asked.name, "point": asked.point.model_dump(mode="json"),
            "traffic": asdict(duel.traffic), "slo": asdict(duel.slo), "machine": environment(),
            "turns": [{"side": turn.side, "swap_s": turn.swap_s, "share": turn.share, "counted": dict(turn.counted),
                       **turn.told.to_json()} for turn in turns],
            "compared": {name: asdict(one) | {"steady": one.steady} for name, one in compare(turns).items()}}


def load_text(server: BenchServer, asked: Served, duel: Duel, turns: Sequence[Turn]) -> str:
    """A head, a table with a column a turn, and what is to be known before it is believed."""
    traffic, found = duel.traffic, compare(turns)
    short, long = traffic.prompt_tokens
    head = [f"{asked.model} at {server.url}   flow: {asked.text}",
            f"{traffic.requests} requests {rate_text(traffic.rate)}, prompts of {short:,} to {long:,} tokens, "
            f"{traffic.output_tokens:,} new ones, seed {traffic.seed}"]
    titles = [asked.name if turn.side == "flow" else DENSE for turn in turns]
    rows = [("", "", *titles, f"{asked.name} is better by")]
    for label, kind in ROWS:
        for n, percent in enumerate(("p50", "p95", "p99")):
            one = found.get(f"{kind} {percent}")
            if one is not None:
                rows.append((label if n == 0 else "", percent, *_in_order(one, turns, _milliseconds), times_text(one)))
    for label, name in RATES:
        if name != "goodput" or duel.slo != type(duel.slo)():
            rows.append((label, "", *_in_order(found[name], turns, lambda value: f"{value:,.2f}"), times_text(found[name])))
    rows.append(("swapped in", "", *(f"{turn.swap_s:.2f} s" for turn in turns), ""))
    return "\n".join([*head, "", columns(rows), "", *_notes(asked.name, duel, turns, found)])


def rate_text(rate: float) -> str:
    return "all at once" if math.isinf(rate) else f"at {rate:g} a second"


def times_text(one: Compared) -> str:
    """`1.31x (1.28 to 1.34)`"""
    return f"{one.times:.2f}x ({one.low:.2f} to {one.high:.2f})"


def _in_order(one: Compared, turns: Sequence[Turn], text: Any) -> list[str]:
    dense, flow = iter(one.dense), iter(one.flow)
    return [text(next(flow if turn.side == "flow" else dense)) for turn in turns]


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def _notes(name: str, duel: Duel, turns: Sequence[Turn], found: Mapping[str, Compared]) -> list[str]:
    notes = [_agreement(found), _attended(name, turns)]
    failed = sum(turn.told.failed for turn in turns)
    if failed:
        why = next(one.error for turn in turns for one in turn.observed if one.error)
        notes.append(f"{failed} requests failed, and count in no figure but against goodput: {why}")
    late = max((turn.told.late.most for turn in turns if turn.told.late is not None), default=0.0)
    notes.append(f"The client sent requests at most {1e3 * late:.1f} ms after they were due"
                 + (": it fell behind; times count from when they were due." if late > LATE_S else "."))
    notes += [] if math.isinf(duel.traffic.rate) else [
        "Throughput at a rate is bounded by that rate; --rate inf asks for the most that the server can do."]
    return [note for note in notes if note]


def _agreement(found: Mapping[str, Compared]) -> str:
    told = [found[name] for name in ("ttft p50", "tpot p50", "tokens/s") if name in found]
    worst = max(told, key=lambda one: one.drift)
    if worst.steady:
        return f"The dense turns agree within {worst.drift:.1%} (medians and throughput)."
    return (f"The dense turns differ by {worst.drift:.0%} in {worst.name}, more than {STEADY:.0%}: this machine was not steady, "
            "and no difference below that means anything.")


def _attended(name: str, turns: Sequence[Turn]) -> str:
    own = [turn for turn in turns if turn.side == "flow"]
    steps, dense = (sum(turn.counted.get(key, 0) for turn in own) for key in ("steps", "dense_steps"))
    if not steps:
        return ""
    shares = [turn.share for turn in own if turn.share is not None]
    share = f"; the others attended {median(shares):.1%} of the blocks" if shares else ""
    return f"{name}: {dense:,} of {steps:,} decode steps were dense by the point's dense_below{share}."


def grid_record(model: str, engine: str, sides: Mapping[str, Side], cells: Sequence[Cell]) -> dict[str, Any]:
    return {"model": model, "engine": engine, "machine": environment(),
            "points": {name: point.model_dump(mode="json") for name, (_, point) in sides.items()},
            "cells": [{"batch": cell.batch, "context": cell.context, "step_s": dict(cell.step_s), "drift": cell.drift,
                       "tokens_per_s": {name: cell.tokens_per_s(name) for name in cell.step_s},
                       "times_dense": {name: asdict(median_ratio(cell.ratios(name))) for name in cell.step_s if name != DENSE}}
                      for cell in cells]}


def grid_text(model: str, engine: str, cells: Sequence[Cell]) -> str:
    """Tokens a second and speed-up with its range, a line a cell and side."""
    rows = [("batch", "context", "", "tokens/s", "ms a step", "times dense")]
    for cell in cells:
        for name, own in cell.step_s.items():
            ratios = cell.ratios(name)
            times = "" if name == DENSE else f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
            rows.append((str(cell.batch), f"{cell.context:,}", name, f"{cell.tokens_per_s(name):,.1f}",
                         f"{1e3 * median(own):.2f}", times))
    drift = max(cell.drift for cell in cells)
    return "\n".join([f"{model} on {engine}: forced decode, medians over rounds in turns with dense", "", columns(rows), "",
                      f"Rounds of dense differ by up to {drift:.0%}; behind a speed-up stand its worst and its best round."])
