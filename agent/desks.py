"""The desks of a campaign: its models, what they may spend, and how each proposer that asks one reaches it."""
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.caller import Caller
from agent.campaign import Campaign
from agent.desk import Desk, Loader
from agent.mix import Seat, seats
from agent.models.base import Model
from agent.models.pace import Pace
from agent.models.registry import make_model
from agent.models.scripted import Scripted
from agent.prompts import check
from agent.purse import Limits, Purse
from search.store.archive import Archive
from search.store.ledger import Ledger

MAX_TOKENS = Desk.max_tokens
Models = Mapping[str, Model]


def make_models(campaign: Campaign) -> Models:
    """The model of each proposer that asks one, by the proposer's label. Nothing is sent.

    Raises MissingKey, UnknownLanguageModel, Unpriced or MissingExtra; PromptError for templates of the campaign's own.
    """
    if campaign.prompts is not None:
        check(Path(campaign.prompts))
    asking = [seat for seat in seats(campaign.proposers) if seat.spec.model]
    for seat in asking:
        seat.spec.check_model()
    return {seat.label: make_model(seat.spec.model or "", seat.spec.base_url) for seat in asking}


def make_desks(campaign: Campaign, models: Models, archive: Archive, load: Loader, *, left_s: Callable[[], float],
               check: Callable[[], None], note: Callable[[str], None]) -> dict[str, Desk]:
    """By label. `left_s` is how many seconds the campaign may still run, `load`, `check` and `note` are the desk's."""
    if not models:
        return {}
    ledger = archive.ledger(campaign.name)
    chosen = [seat for seat in seats(campaign.proposers) if seat.label in models]
    purse = purse_of(campaign, chosen, ledger, left_s)
    found = {}
    for seat in chosen:
        model, spec = models[seat.label], seat.spec
        found[seat.label] = Desk(
            campaign=campaign.name, goal=campaign.goal, proposer=seat.label, key=seat.label, archive=archive, entries=(),
            caller=Caller(model, ledger, purse, seat.label), load=load, check=check, note=note,
            prompts=None if campaign.prompts is None else Path(campaign.prompts), temperature=spec.temperature,
            max_tokens=spec.max_tokens or MAX_TOKENS, thinking_tokens=spec.thinking_tokens or 0,
            pace=None if isinstance(model, Scripted) else Pace())        # answers of a file come in its order
    return found


def purse_of(campaign: Campaign, chosen: Sequence[Seat], ledger: Ledger, left_s: Callable[[], float]) -> Purse:
    """What the campaign and each of its proposers may spend."""
    own = {seat.label: Limits(dollars=seat.spec.dollars, tokens=seat.spec.tokens, calls=seat.spec.calls,
                              minutes=seat.spec.minutes) for seat in chosen}
    whole = Limits(dollars=campaign.dollars, tokens=campaign.tokens, calls=campaign.calls)
    return Purse(ledger=ledger, campaign=whole, proposers=own, left_s=left_s)
