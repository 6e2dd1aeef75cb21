"""The one face every engine shows: the evaluator, the benchmarks and the command line speak to this."""
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph

if TYPE_CHECKING:
    import torch

Recorded = Literal["selections", "qkv", "mass"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt. `tokens` are ids; temperature 0 is greedy; `seed` is the request's own."""

    id: str
    tokens: tuple[int, ...]
    max_new_tokens: int
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0                        # 0: no limit
    stop: tuple[int, ...] | None = None   # ids that end it; None: the model's own end-of-text ids
    ignore_eos: bool = False


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What came of a request. The stop token, if one was met, is part of `tokens`. Times in seconds."""

    id: str
    tokens: tuple[int, ...]
    finish: Literal["stop", "length"]
    prefill_s: float
    decode_s: float
    cached_tokens: int = 0                # prompt tokens taken from shared blocks


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Forced decode: seconds of each step, and bytes the sparse layers read by their own account."""

    batch: int
    context: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Path:
    """A trajectory to be gone again: ids of the prompt, and of what was said after it."""

    prompt: tuple[int, ...]
    forced: tuple[int, ...]


@dataclass
class Recording:
    """What an engine logged while it was recording: one dict an event, keys by kind (see the engine that fills it)."""

    events: list[dict[str, Any]] = field(default_factory=list)


class Tokenizer(Protocol):
    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class Engine(Protocol):
    """start -> (use -> generate | forced_decode | record)* -> stop."""

    def start(self, model: str) -> None:
        """Loads a model: a shipped name, a folder, or a Hugging Face id. Raises ModelError."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def geometry(self, block_size: int) -> Geometry:
        """What flows are traced for on this model."""

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        """Swaps the flow without loading weights again; None decodes densely. Raises EngineError."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Continuous batching; completions come as they end. The set and order of requests fixes every token."""

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        """Times `steps` decode steps of `batch` requests of `context` tokens whose KV is filled without a prefill."""

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        """Logs what decode steps do while it is open."""

    def stop(self) -> None: ...


@runtime_checkable
class Replays(Protocol):
    """An engine that can also be led along a known path."""

    def replay(self, paths: Sequence[Path]) -> "list[torch.Tensor]":
        """Logits float32 [steps - 1, vocabulary] of each path: row i follows forced[i], under the flow in use."""
