"""What the plug-in must know of a model before anything starts, and which models it does not take over."""
from collections.abc import Collection
from dataclasses import dataclass

from vortex.errors import EngineError, ModelError
from vortex.serving.checkpoint import SERVED, ModelShape
from vortex.serving.layers import Layers
from vortex.serving.sglang.ranks import Share

CHOOSE = "Choose another model, or serve it without a flow: --attention-backend of SGLang's own."


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """As SGLang reads the checkpoint. `full`: layers that attend in full, by the model's own numbers; others are linear."""

    name: str
    kind: str                             # its model_type
    shape: ModelShape                     # of one rank
    share: Share                          # that rank's part of the kv heads
    full: frozenset[int]
    window: int = 0                       # tokens of a sliding window or of local chunks, where some layer has any
    encoder_decoder: bool = False
    generates: bool = True
    indexed: bool = False                 # brings a trained sparse attention of its own (DeepSeek V3.2)


def check_model(model: ModelFacts) -> None:
    """Raises ModelError for a model whose attention is not plain softmax over all tokens before it."""
    problems = (
        (model.encoder_decoder, "has an encoder", ""),
        (not model.generates, "does not generate", ""),
        (model.window > 0, f"attends through a window of {model.window} tokens", ""),
        (model.indexed, "brings a sparse attention of its own", ""),
        (model.kind not in SERVED["sglang"], f"is of type {model.kind!r}", f"Taken over: {', '.join(SERVED['sglang'])}."),
    )
    for found, what, hint in problems:
        if found:
            raise ModelError(f"{model.name!r} {what}, which flows are not served on", hint=hint or CHOOSE)


def attending(layers: Layers, full: Collection[int]) -> Layers:
    """Those of `layers` that attend in full: linear layers have no blocks to choose from.

    Raises EngineError where a layer that reuses lists is left without one before it that selects.
    """
    left = Layers(select=layers.select & frozenset(full), reuse=layers.reuse & frozenset(full))
    if left.reuse and min(left.reuse) < min(left.select, default=max(left.reuse) + 1):
        raise EngineError(f"layer {min(left.reuse)} reuses the lists of a layer before it, and none before it both selects "
                          "and attends in full", hint="Layers that attend in full: " + ", ".join(map(str, sorted(full))) + ".")
    return left
