"""Asking a model so that nothing is paid twice and no paid answer is lost: the ledger knows of every call before it is made."""
import json
import os
from dataclasses import dataclass, field

from agent.models.base import Answer, Ask, Model, Usage
from agent.models.prices import Price, cost, price
from agent.models.scripted import Scripted
from agent.purse import Need, Purse
from search.store.calls import CallRecord
from search.store.ledger import Ledger
from vortex.errors import BrokenAnswer, CallError

BYTES_A_TOKEN = 2                     # no text of ours has fewer, so that a reservation is hardly ever too small
SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")


@dataclass(frozen=True)
class Caller:
    """Asks `model` for one proposer. Safe among threads. Raises Unpriced when it is made for a model without a price."""

    model: Model
    ledger: Ledger
    purse: Purse
    proposer: str
    price: Price = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "price", price(self.model.name))
        if isinstance(self.model, Scripted):
            for record in self.ledger.answers(self.proposer):
                self.model.remember(answer_of(record))

    def ask(self, key: str, ask: Ask) -> Answer:
        """The answer under `key`: the recorded one where there is one, whatever is asked, and then nothing is paid.

        Else the call is entered with the whole prompt and the most it may cost, made, and its answer kept before it is
        given back. A key whose last attempt failed or was lost is asked again. Raises CallError, BudgetSpent among them.
        """
        with self.purse.turn(key):
            found = self.ledger.find(key)
            if found is not None and found.answer is not None:
                return answer_of(found)
            body = ask.to_json()
            with self.purse.reserved(key, self.proposer, self.model.name, body, worst(ask, self.price), self.price):
                return answer_of(self._made(key, ask))

    def answered(self, key: str) -> bool:
        """Whether `ask` would give this key's answer without a call."""
        found = self.ledger.find(key)
        return found is not None and found.answer is not None

    def _made(self, key: str, ask: Ask) -> CallRecord:
        try:
            answer = self.model.ask(ask)
        except BrokenAnswer as error:
            # The provider did work, and may have charged for it.
            self.ledger.lost(key, error.code, without_secrets(error.message))
            raise
        except CallError as error:
            self.ledger.failed(key, error.code, without_secrets(error.message))
            raise
        except BaseException as error:
            # Ctrl-C or a bug while the provider worked: what it charged is not known.
            self.ledger.lost(key, type(error).__name__, without_secrets(str(error)))
            raise
        return self.ledger.answered(key, answer.to_json(), vars(answer.usage), cost(answer.usage, self.price), answer.seconds)


def answer_of(record: CallRecord) -> Answer:
    """The answer of an answered call, the same now and after a restart."""
    assert record.answer is not None, record
    return Answer.from_json(record.answer)


def worst(ask: Ask, price: Price) -> Need:
    """The most that an ask can cost: its bytes as tokens that no cache held, and an answer as long as is allowed."""
    prompt = len(json.dumps(ask.to_json(), ensure_ascii=False).encode(errors="replace")) // BYTES_A_TOKEN
    output = ask.max_tokens + ask.thinking_tokens
    dollars = max(cost(Usage(input=prompt, output=output), price), cost(Usage(cache_write=prompt, output=output), price))
    return Need(dollars=dollars, tokens=prompt + output)


def without_secrets(text: str) -> str:
    """The text with what the environment keeps under a secret's name taken out."""
    for name, value in os.environ.items():
        if len(value) >= len("secret") and any(word in name.upper() for word in SECRET_NAMES):
            text = text.replace(value, f"${name}")
    return text
