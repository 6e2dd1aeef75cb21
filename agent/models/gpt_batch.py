"""OpenAI's Batches, of Responses."""
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.responses import Response

from agent.models import wire
from agent.models.base import Ask
from agent.models.batch import Outcome, named, place
from agent.models.gpt import Gpt, answer, request
from vortex.errors import CallError

AT_WORK = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True)
class GptBatch:
    model: Gpt

    def send(self, asks: Sequence[Ask]) -> str:
        rows = "\n".join(json.dumps(row(self.model.name, i, ask)) for i, ask in enumerate(asks))
        with wire.refusals(self.model.who, self.model.name):
            held = self.model.client.files.create(file=("asks.jsonl", rows.encode()), purpose="batch")
            return self.model.client.batches.create(input_file_id=held.id, endpoint="/v1/responses", completion_window="24h").id

    def fetch(self, batch: str) -> Mapping[int, Outcome] | None:
        with wire.refusals(self.model.who, self.model.name):
            state = self.model.client.batches.retrieve(batch)
            if state.status in AT_WORK:
                return None
            if state.status == "failed":
                errors = state.errors.data if state.errors and state.errors.data else []
                raise CallError(f"OpenAI refuses the batch: {'; '.join(error.message or '' for error in errors)}")
            names = [name for name in (state.output_file_id, state.error_file_id) if name]
            rows = [json.loads(line) for name in names for line in self.model.client.files.content(name).text.splitlines()]
            return {place(row["custom_id"]): self._outcome(row) for row in rows}

    def _outcome(self, row: Mapping[str, Any]) -> Outcome:
        response = row.get("response") or {}
        body = response.get("body") or {}
        said = row.get("error") or body.get("error")
        if said:
            return wire.batch_refusal(self.model.who, str(said.get("code") or said.get("type")), str(said.get("message")))
        whole = Response.construct(**body)
        try:
            return answer(whole, whole.output, 0.0, str(response.get("request_id", "")))
        except CallError as error:
            return error


def connect(model: Gpt) -> GptBatch:
    return GptBatch(model)


def row(name: str, place: int, ask: Ask) -> dict[str, Any]:
    return {"custom_id": named(place), "method": "POST", "url": "/v1/responses", "body": request(name, ask)}
