"""Anthropic's Message Batches."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.models import wire
from agent.models.base import Ask
from agent.models.batch import Outcome, named, place
from agent.models.claude import Claude, Draft, request
from vortex.errors import CallError, Unavailable


@dataclass(frozen=True)
class ClaudeBatch:
    model: Claude

    def send(self, asks: Sequence[Ask]) -> str:
        rows: Any = [{"custom_id": named(i), "params": flat(request(self.model.name, ask))} for i, ask in enumerate(asks)]
        with wire.refusals(self.model.who, self.model.name):
            return self.model.client.messages.batches.create(requests=rows).id

    def fetch(self, batch: str) -> Mapping[int, Outcome] | None:
        api = self.model.client.messages.batches
        with wire.refusals(self.model.who, self.model.name):
            if api.retrieve(batch).processing_status != "ended":
                return None
            return {place(row.custom_id): self._outcome(row.result) for row in api.results(batch)}

    def _outcome(self, result: Any) -> Outcome:
        if result.type == "errored":
            said = result.error.error
            return wire.batch_refusal(self.model.who, said.type, said.message)
        if result.type != "succeeded":
            return Unavailable(f"the call of the batch is {result.type}")
        draft = Draft(result.message.id)
        draft.take(result.message)
        try:
            return draft.answer(self.model.name, 0.0)
        except CallError as error:
            return error


def connect(model: Claude) -> ClaudeBatch:
    return ClaudeBatch(model)


def flat(body: dict[str, Any]) -> dict[str, Any]:
    """The body as it goes over the wire: what the SDK adds by itself to single calls, written out."""
    return {**{name: value for name, value in body.items() if name != "extra_body"}, **body.get("extra_body", {})}
