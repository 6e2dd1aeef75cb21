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
from vortex.serving.embedded.attention import NAME, DecodeStep, Layers, PrefillStep, Step, register
from vortex.serving.embedded.pool import Pool
from vortex.serving.embedded.prompts import Prefilled, PromptCache
from vortex.serving.embedded.recording import Recorder
from vortex.serving.embedded.renewal import Due, Renewal


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


class Batch:
    """Requests that decode together, and their block tables: made when the company changes, not every step.

    `begins` are the lengths at their first decode steps.
    """

    def __init__(self, ids: Sequence[str], seeds: Sequence[int], blocks: Sequence[Sequence[int]], begins: Sequence[int],
                 device: torch.device) -> None:
        self.ids = tuple(ids)
        self.seeds = tuple(seeds)
        self.blocks = tuple(blocks)
        self.begins = tuple(begins)
        widest = max(len(own) for own in blocks)
        self._tables = torch.tensor([[*own, *[0] * (widest - len(own))] for own in blocks], device=device)

    def tables(self, counts: Sequence[int]) -> torch.Tensor:
        """int64 [B, N]: the first `counts` blocks of each request, 0 beyond."""
        tables = self._tables[:, :max(counts)]
        if min(counts) == max(counts):
            return tables
        ends = torch.tensor(counts, device=tables.device)[:, None]
        return tables.masked_fill(torch.arange(tables.shape[1], device=tables.device) >= ends, 0)


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Stateless beside the pool and what is kept between selections: the rest that a pass needs is in its arguments."""

    model: PreTrainedModel
    pool: Pool
    program: Program
    layers: Layers
    prompts: PromptCache
    renewal: Renewal

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
        logits = self._forward(self._ids(tokens), positions.expand(len(tokens), count), step)
        if start == 0:
            self.prompts.keep(tokens, Prefilled(tuple(step.made), logits))
        return logits

    @torch.inference_mode()
    def decode(self, batch: Batch, tokens: Sequence[int], lens: Sequence[int],
               recorder: Recorder | None = None) -> torch.Tensor:
        """Logits [B, V] after one more token a request; `lens` count it."""
        size = self.pool.shape.block_size
        open_blocks = [own[(length - 1) // size] for own, length in zip(batch.blocks, lens, strict=True)]
        pairs = list(zip(open_blocks, lens, strict=True))
        tables = batch.tables([-(-length // size) for length in lens])
        plan = self.program.plan(lens, tables, batch.seeds)
        step = DecodeStep(
            pool=self.pool, program=self.program, layers=self.layers, plan=plan, renewal=self.renewal,
            due=self._due(batch, lens, tables, plan),
            slots=self._ids([block * size + (length - 1) % size for block, length in pairs]),
            done=self._ids([block for block, length in pairs if length % size == 0]),
            requests=batch.ids, recorder=recorder,
        )
        ids, positions = self._ids(tokens)[:, None], self._ids(lens)[:, None] - 1
        return self._forward(ids, positions, step)

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

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, step: Step) -> torch.Tensor:
        out = self.model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=1, vortex_step=step)
        logits: torch.Tensor = out.logits[:, -1]
        return logits
