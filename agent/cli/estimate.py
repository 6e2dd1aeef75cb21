"""`vortex estimate CAMPAIGN`: what its language models and its stages will cost, before it is run."""
import math
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent import campaign as campaigns
from agent.campaign import Campaign
from agent.cli.money import count_text, money_text
from agent.cli.options import DEFAULT_DB, Db, Json
from agent.cli.text import columns, to_json
from agent.estimate import Cost, Estimate, estimate
from vortex.errors import PointError

if TYPE_CHECKING:
    from agent.estimate_device import DeviceEstimate, StageCost

STAGES = ("stage", "reach it", "candidates", "seconds each", "device-hours", "resolves", "seconds from", "reach from")
HEAD = ("proposer", "model", "share", "calls", "tokens", "expected", "at most")


def command(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="A TOML file, or the name of a shipped one.")],
    set: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="budget.dollars=5; repeatable.")] = None,
    db: Db = DEFAULT_DB,
    gpu: Annotated[str | None, typer.Option(help="Estimate for h100, h200, b200, a100 or l40s by its roofline.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Devices that stages run on at once.")] = 1,
    per_hour: Annotated[float | None, typer.Option("--per-hour", metavar="DOLLARS", min=0, help="Of one device.")] = None,
    json: Json = False,
) -> None:
    """Calls, tokens, dollars and device-hours to expect of a campaign, and the smallest effect it can resolve. Nothing is run,
    no key is needed.

    What to expect rests on a usual round: prompts mostly read from the provider's cache, a third of the flows repaired once.
    At most: each proposer gives every candidate, each flow is repaired as often as may be, no prompt is cached, answers are
    as long as allowed. Device time rests on rows of the archive where the same model was measured, else on a roofline and on
    stated assumptions; the table says which.
    """
    _check(per_hour)
    chosen = campaigns.load(campaign, set or [])
    found = estimate(chosen)
    device = _device(chosen, db, gpu, workers, per_hour)
    if json:
        print(to_json({"campaign": chosen.name, "candidates": chosen.candidates, **asdict(found),
                       "device": asdict(device)}))
        return
    if not found.lines:
        print(f"{chosen.name} asks no language model: it costs nothing but time")
    else:
        print(_text(found, chosen.candidates))
    print(f"\n{_device_text(device, chosen)}")


def _check(per_hour: float | None) -> None:
    if per_hour is not None and not math.isfinite(per_hour):
        raise PointError(f"--per-hour {per_hour}", hint="Dollars that one device costs an hour, such as 2.5.")


def _device(campaign: Campaign, db: str, gpu: str | None, workers: int, per_hour: float | None) -> "DeviceEstimate":
    from agent.estimate_device import estimate_device  # scipy and SQLAlchemy: `--help` does without
    from agent.estimate_past import Past
    from search.store import open_archive

    if "://" not in db and not Path(db).exists():
        return estimate_device(campaign, Past.of(None, campaign.point), gpu=gpu, workers=workers, per_hour=per_hour)
    with closing(open_archive(db, create=False)) as archive:
        return estimate_device(campaign, Past.of(archive, campaign.point), gpu=gpu, workers=workers, per_hour=per_hour)


def _device_text(found: "DeviceEstimate", campaign: Campaign) -> str:
    rows = [STAGES, *((line.stage, f"{line.reach:.0%}", f"{line.candidates:.0f}", f"{line.seconds:.2g}", f"{line.hours:.3g}",
                       _resolved(line), line.seconds_from, line.reach_from)
                      for line in found.lines)]
    money = "" if found.dollars is None else f", {money_text(found.dollars)}"
    lines = [columns(rows), f"{found.hours:.3g} device-hours{money}; {found.wall_hours:.3g} hours on {found.workers} "
             f"worker{'s' * (found.workers != 1)}, beside what proposers take"]
    if found.ends_early:
        lines.append(f"The budget of {campaign.minutes:g} minutes is expected to end it early.")
    return "\n".join(lines)


def _resolved(line: "StageCost") -> str:
    return "" if line.resolves is None else f"{'at most ' * line.at_most}{line.resolves:.3f}"


def _text(found: Estimate, candidates: int) -> str:
    rows = [HEAD, *((one.label, one.model, f"{one.share:.0%}", *_cells(one.expected, one.worst)) for one in found.lines)]
    if len(found.lines) > 1 or found.ends_early:
        rows.append(("all", "", f"{sum(one.share for one in found.lines):.0%}", *_cells(found.expected, found.worst)))
    lines = [f"{candidates} candidates in {found.rounds} round{'s' * (found.rounds != 1)}", columns(rows)]
    limits = [f"{money_text(limit) if name == 'dollars' else f'{limit:,} {name}'}"
              for name, limit in found.limits.items() if limit is not None]
    if found.ends_early:
        lines.append(f"The budget ({', '.join(limits)}) is expected to end the models' part early, by its {found.ends_early}.")
    elif limits:
        lines.append(f"The budget ({', '.join(limits)}) is never exceeded: a call that does not fit is not made.")
    else:
        lines.append("No budget limits it. Set one: [budget] dollars = ...")
    return "\n".join(lines)


def _cells(expected: Cost, worst: Cost) -> tuple[str, ...]:
    return f"{expected.calls:.0f}", count_text(expected.tokens), money_text(expected.dollars), money_text(worst.dollars)
