"""What a campaign's language models will cost: what is to be expected, and the most that it can come to."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.call_counts import Counts, counts
from agent.caller import BYTES_A_TOKEN
from agent.campaign import Campaign
from agent.desk import Desk
from agent.mix import Seat, seats
from agent.models.base import Usage
from agent.models.prices import Price, cost, price
from agent.prompts import LIMIT, system_prompt
from agent.proposers.registry import make_proposer

LETTERS_A_TOKEN = 3.5
FLOW_TOKENS = 900                     # of a flow with its claim, in an answer
THOUGHT = 0.5                         # of the tokens that may be thought are


@dataclass(frozen=True, kw_only=True)
class Cost:
    calls: float = 0.0
    tokens: float = 0.0
    dollars: float = 0.0

    def within(self, limits: Mapping[str, float | None]) -> "Cost":
        """What it comes to when it stops at the first of the limits that it meets."""
        reached = [limit / getattr(self, name) for name, limit in limits.items() if limit and getattr(self, name) > limit]
        share = min(reached, default=1.0)
        return Cost(calls=self.calls * share, tokens=self.tokens * share, dollars=self.dollars * share)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One proposer that asks a model. `share` of the proposals are to be its own; at `worst` it gives all of them."""

    label: str
    model: str
    share: float
    expected: Cost
    worst: Cost


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Sums within the campaign's limits. `ends_early` names the limit that is expected to be met; empty: none."""

    rounds: int
    lines: tuple[Line, ...]
    expected: Cost
    worst: Cost
    limits: Mapping[str, float | None]
    ends_early: str = ""


def estimate(campaign: Campaign) -> Estimate:
    """Raises Unpriced and PromptError."""
    rounds = -(-campaign.candidates // campaign.round_size)
    everyone = seats(campaign.proposers)
    weight = sum(seat.spec.weight for seat in everyone)
    folder = None if campaign.prompts is None else Path(campaign.prompts)
    prefix = sum(len(text.text) for text in system_prompt(folder=folder))
    lines = tuple(_line(seat, seat.spec.weight / weight, campaign, rounds, prefix) for seat in everyone if seat.spec.model)
    limits = {"dollars": campaign.dollars, "tokens": campaign.tokens, "calls": campaign.calls}
    expected, worst = _sum([one.expected for one in lines]), _sum([one.worst for one in lines])
    early = next((name for name, limit in limits.items() if limit and getattr(expected, name) > limit), "")
    return Estimate(rounds=rounds, lines=lines, expected=expected.within(limits), worst=worst.within(limits), limits=limits,
                    ends_early=early)


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(calls=sum(one.calls for one in costs), tokens=sum(one.tokens for one in costs),
                dollars=sum(one.dollars for one in costs))


def _line(seat: Seat, share: float, campaign: Campaign, rounds: int, prefix: int) -> Line:
    spec, size = seat.spec, campaign.round_size
    output, thought = spec.max_tokens or Desk.max_tokens, spec.thinking_tokens or 0
    rate = price(spec.model or "")
    usual = share * campaign.candidates / rounds
    made = counts(make_proposer(spec.kind, spec.settings), usual, min(size, campaign.candidates), output)
    flows = max(1.0, usual / made.usual) if made.usual else 1.0
    answer = min(output, FLOW_TOKENS * flows) + THOUGHT * thought
    limits = {"dollars": spec.dollars, "tokens": spec.tokens, "calls": spec.calls}
    return Line(label=seat.label, model=spec.model or "", share=share,
                expected=_expected(made, rounds, prefix, answer, rate).within(limits),
                worst=_worst(made, rounds, output + thought, rate).within(limits))


def _expected(made: Counts, rounds: int, prefix: int, answer: float, rate: Price) -> Cost:
    """The stable part of the prompt is read from the provider's cache, but for the first call of a round."""
    count = made.usual * rounds
    first = min(count, float(rounds))
    stable, rest = prefix / LETTERS_A_TOKEN, ((LIMIT - prefix) / 2 + made.grown_usual) / LETTERS_A_TOKEN
    usage = Usage(input=round(rest), output=round(answer))
    stored, read = Usage(cache_write=round(stable)), Usage(cache_read=round(stable))
    dollars = count * cost(usage, rate) + first * cost(stored, rate) + (count - first) * cost(read, rate)
    return Cost(calls=count, tokens=count * (usage.total + stored.total), dollars=dollars)


def _worst(made: Counts, rounds: int, output: int, rate: Price) -> Cost:
    """As the purse reserves it: every prompt as long as may be, and nothing read from a cache."""
    prompt = round((LIMIT + made.grown_most) / BYTES_A_TOKEN)
    one = max(cost(Usage(input=prompt, output=output), rate), cost(Usage(cache_write=prompt, output=output), rate))
    count = made.most * rounds
    return Cost(calls=count, tokens=count * (prompt + output), dollars=count * one)
