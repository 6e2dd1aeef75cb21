"""A model with a pool and a Program: makes the Steps of prefill and decode and runs the forward pass."""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from vortex.compiler.program import Plan, Program
from vortex.errors import ModelError
from vortex.serving.checkpoint import Checkpoint, first_line, local_first, quiet
from vortex.serving.embedded.attention import NAME, DecodeStep, PrefillStep, forward, register
from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.graphed import Answer, answer
from vortex.serving.embedded.pool import Pool
from vortex.serving.embedded.prompts import Prefilled, PromptCache
from vortex.serving.embedded.renewal import Due, Renewal
from vortex.serving.embedded.steps import StaticSteps
from vortex.serving.layers import Layers
from vortex.serving.recording import Recorder


def load_model(checkpoint: Checkpoint, device: torch.device) -> PreTrainedModel:
    """The weights, in float32 on a CPU and as they were stored elsewhere. Raises ModelError."""
    register()
    dtype = torch.float32 if device.type == "cpu" else "auto"
    try:
        with quiet():
            model = local_first(checkpoint.path, partial(AutoModelForCausalLM.from_pretrained, checkpoint.path,
                                                         dtype=dtype, attn_implementation=NAME))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the weights of {checkpoint.name!r}: {first_line(error)}",
                         hint=f"Offline, download it first: hf download {checkpoint.name}") from error
    assert isinstance(model, PreTrainedModel)
    torch.nn.Module.to(model, device)     # their own `to` is annotated as something else
    model.train(False)
    return model


def stop_tokens(model: PreTrainedModel) -> tuple[int, ...]:
    """The model's own end-of-text ids."""
    eos = model.generation_config.eos_token_id
    return tuple(eos) if isinstance(eos, list | tuple) else () if eos is None else (int(eos),)


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Stateless beside the pool and what is kept between selections: the rest that a pass needs is in its arguments.

    Decode goes through `steps` where there are any and nothing is recorded; else every step is made anew. Where the longest
    context of a batch is under `dense_below` tokens, its step is dense, so that tokens may depend on the company.
    """

    model: PreTrainedModel
    pool: Pool
    program: Program
    layers: Layers
    prompts: PromptCache
    renewal: Renewal
    steps: StaticSteps | None = None
    dense_below: int = 0

    @torch.inference_mode()
    def prefill(self, tokens: Sequence[Sequence[int]], start: int, blocks: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits [B, V] after prompts' new tokens, as many each, whose first stands at position `start`."""
        size, count = self.pool.shape.block_size, len(tokens[0])
        filled = -(-(start + count) // size)
        tables = self._ids([own[:filled] for own in blocks])
        positions = torch.arange(start, start + count, device=self._device)
        step = PrefillStep(
            pool=self.pool, program=self.program, sparse=self.layers.select,
            slots=(tables[:, positions // size] * size + positions % size).flatten(),
            shared=tables[:, :start // size], done=tables[:, start // size:(start + count) // size].flatten(),
        )
        known = self.prompts.find(tokens) if start == 0 else None
        if known is not None:
            for layer, (k, v) in enumerate(known.layers):
                step.store(layer, k, v)
            return known.logits
        logits = forward(self.model, self._ids(tokens), positions.expand(len(tokens), count), step)
        if start == 0:
            self.prompts.keep(tokens, Prefilled(tuple(step.made), logits))
        return logits

    @torch.inference_mode()
    def decode(self, batch: Batch, tokens: Sequence[int], lens: Sequence[int],
               recorder: Recorder | None = None) -> Answer:
        """One more token a request; `lens` count it. What is returned holds until the next step."""
        if self.steps is not None and recorder is None:
            return self.steps.decode(batch, tokens, lens)
        size = self.pool.shape.block_size
        tables = batch.tables([-(-length // size) for length in lens])
        plan = self.program.plan(lens, tables, batch.seeds)
        step = DecodeStep(
            pool=self.pool, program=self.program, layers=self.layers, plan=plan, renewal=self.renewal,
            due=self._due(batch, lens, tables, plan),
            slots=self._ids(batch.slots(lens, size)),
            done=self._ids([block for block in batch.completed(lens, size) if block >= 0]),
            requests=batch.ids, recorder=recorder,
            dense=self.program.point.renew_every == 1 and max(lens) < self.dense_below,
        )
        ids, positions = self._ids(tokens)[:, None], self._ids(lens)[:, None] - 1
        return answer(forward(self.model, ids, positions, step))

    def warm(self, lens: Sequence[int]) -> None:
        """Lets what is made once for decode steps at `lens` be made, before a clock runs."""
        if self.steps is not None:
            self.steps.warm(lens)

    def _due(self, batch: Batch, lens: Sequence[int], tables: torch.Tensor, plan: Plan) -> Due:
        """Who selects in this step: the first after a request's prefill, and every n-th from there."""
        every = self.program.point.renew_every
        rows = tuple(row for row, length in enumerate(lens) if (length - batch.begins[row]) % every == 0)
        if len(rows) == len(lens) or not rows:
            return Due(rows=rows, plan=plan if rows else None)
        chosen = [[values[row] for row in rows] for values in (lens, batch.seeds)]
        return Due(rows=rows, plan=self.program.plan(chosen[0], tables[list(rows)], chosen[1]))

    @property
    def _device(self) -> torch.device:
        return self.pool.shape.device

    def _ids(self, values: Sequence[int] | Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)
