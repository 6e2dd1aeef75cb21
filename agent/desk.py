"""What a proposer that asks a model has at hand in a round: its caller, what finished rounds found, and the loader."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from agent.caller import Caller
from agent.models.pace import Pace
from search.candidate import Entry, FlowRecord
from search.store.archive import Archive
from vortex.errors import CampaignError, VortexError
from vortex.ir import Parameter

# (text, path, parameters) as a flow's record, and why it is none; in a limited child, each text once.
Loader: TypeAlias = Callable[[str, str, Sequence[Parameter]], tuple[FlowRecord, VortexError | None]]


def _nothing(text: str = "") -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Desk:
    """`proposer` is its name in the ledger and as author. `archive` is for reading; `entries` are those of finished rounds.

    `key` is what the keys of this round's calls begin with: "round 3/reflective". `check` is called where a campaign may
    be stopped and raises Stopped; `note` tells the person who watches. `pace` makes calls at once; None: one by one.
    """

    campaign: str
    goal: str
    proposer: str
    key: str
    caller: Caller
    archive: Archive
    entries: tuple[Entry, ...]
    load: Loader
    prompts: Path | None = None           # a folder of templates in place of the shipped ones
    max_tokens: int = 8192
    temperature: float | None = None
    thinking_tokens: int = 0
    pace: Pace | None = None
    check: Callable[[], None] = field(default=_nothing)
    note: Callable[[str], None] = field(default=_nothing)


def desk_of(kind: str, desk: Desk | None) -> Desk:
    """Raises CampaignError for a round without one: the proposer names no model."""
    if desk is None:
        raise CampaignError(f"proposer {kind} needs a model", hint='model = "claude-sonnet-4-5", or "scripted:answers.jsonl"')
    return desk
