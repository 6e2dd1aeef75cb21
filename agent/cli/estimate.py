"""`vortex estimate CAMPAIGN`: what its language models will cost, before it is run."""
from dataclasses import asdict
from typing import Annotated

import typer

from agent import campaign as campaigns
from agent.cli.money import count_text, money_text
from agent.cli.options import Json
from agent.cli.text import columns, to_json
from agent.estimate import Cost, Estimate, estimate

HEAD = ("proposer", "model", "share", "calls", "tokens", "expected", "at most")


def command(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="A TOML file, or the name of a shipped one.")],
    set: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="budget.dollars=5; repeatable.")] = None,
    json: Json = False,
) -> None:
    """Calls, tokens and dollars to expect of a campaign, and the most it can spend. Nothing is run, no key is needed.

    What to expect rests on a usual round: prompts mostly read from the provider's cache, a third of the flows repaired once.
    At most: each proposer gives every candidate, each flow is repaired as often as may be, no prompt is cached, answers are
    as long as allowed.
    """
    chosen = campaigns.load(campaign, set or [])
    found = estimate(chosen)
    if json:
        print(to_json({"campaign": chosen.name, "candidates": chosen.candidates, **asdict(found)}))
    elif not found.lines:
        print(f"{chosen.name} asks no language model: it costs nothing but time")
    else:
        print(_text(found, chosen.candidates))


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
