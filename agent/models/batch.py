"""Many calls at half the price that need no answer soon: the batch APIs of the providers behind one function."""
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agent.models.base import Answer, Ask, Model
from vortex.errors import BrokenAnswer, CallError, Unavailable

Outcome = Answer | CallError
DAY_S = 24 * 3600.0
HOMES = {"agent.models.claude": "agent.models.claude_batch", "agent.models.gpt": "agent.models.gpt_batch"}


class Batch(Protocol):
    """A batch API. `send` returns the id under which the batch can be fetched, from another process as well."""

    def send(self, asks: Sequence[Ask]) -> str: ...

    def fetch(self, batch: str) -> Mapping[int, Outcome] | None:
        """Outcomes by the place of their ask; None while the batch is at work."""


def ask_batch(model: Model, asks: Sequence[Ask], *, sent: str = "", on_sent: Callable[[str], None] = lambda batch: None,
              poll_s: float = 30.0, limit_s: float = DAY_S) -> tuple[Outcome, ...]:
    """One outcome for each ask, in order; a model without a batch API is asked one by one.

    `on_sent` is told the id before anything is awaited; `sent`, an id of an earlier run, is awaited instead of sending anew.
    Raises CallError when the batch as a whole fails, Unavailable when it is not done within `limit_s`.
    """
    if not asks:
        return ()
    api = batches(model)
    if api is None:
        return tuple(outcome(model, ask) for ask in asks)
    if not sent:
        sent = api.send(asks)
        on_sent(sent)
    end = time.monotonic() + limit_s
    while (found := api.fetch(sent)) is None:
        if time.monotonic() > end:
            raise Unavailable(f"the batch {sent} is not done after {limit_s:.0f} s")
        time.sleep(poll_s)
    lost = BrokenAnswer(f"the batch {sent} has no answer to this call")
    return tuple(found.get(place, lost) for place in range(len(asks)))


def outcome(model: Model, ask: Ask) -> Outcome:
    try:
        return model.ask(ask)
    except CallError as error:
        return error


def batches(model: Model) -> Batch | None:
    """The batch API of a model; None of scripted ones and of endpoints that are only compatible."""
    home = HOMES.get(type(model).__module__)
    if home is None:
        return None
    # With the home comes the SDK, which takes a second to import.
    api: Batch = importlib.import_module(home).connect(model)
    return api


def named(place: int) -> str:
    """The name of an ask within its batch."""
    return f"ask-{place}"


def place(name: str) -> int:
    return int(name.removeprefix("ask-"))
