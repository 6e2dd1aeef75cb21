"""What the templates of a round may say: plain words and numbers, nothing that reads or computes."""
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One measured candidate in words: `0.94 ±.02`, `3.10x ±.07`, `1/8`, `12.6 MB`, `beaten`."""

    id: int
    name: str
    accuracy: str
    speed: str
    share: str
    bytes: str
    place: str
    times_dense: float                    # `speed` as a number, by which templates sort
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A flow to build on, with its text and what speaks for and against it; `id` is None for one not yet judged."""

    id: int | None
    name: str
    source: str
    why: str = ""
    standing: Figures | None = None
    tasks: tuple[str, ...] = ()           # `multikey-1k-full 0.85 ±.05 (dense 0.97 ±.03)`
    costs: tuple[str, ...] = ()
    hypothesis: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a child of the same parents."""

    id: int
    name: str
    parents: tuple[int, ...]
    hypothesis: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Candidates that ended for one reason, with the message of the last of them."""

    count: int
    stage: str
    code: str
    message: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Told:
    """Everything that the templates of a round may say. Sequences run from the most to the least telling."""

    number: int
    goal: str
    point: tuple[str, ...]                # `topk_ratio 0.125`, one a setting
    knobs: tuple[str, ...]                # `topk_ratio: 0.0625, 0.125, 0.25`
    sizes: Mapping[str, int]
    costs: tuple[str, ...]
    hardware: str = ""
    lengths: Mapping[str, str] = field(default_factory=dict)
    controls: tuple[Figures, ...] = ()
    frontier: tuple[Figures, ...] = ()
    parents: tuple[Ancestor, ...] = ()
    siblings: tuple[Outcome, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tried: int = 0
    failed: int = 0
