"""What a task writes before it is wrapped in a chat, and what every task of RULER can do."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluator.tasks.ruler.draw import Draw

Count = Callable[[str], int]


@dataclass(frozen=True)
class Draft:
    """The text that is asked, the opening of the reply, and the strings that are to be said.

    `facts`: depths (of what is asked about, 0 first and 1 last), order (a hash of the shuffle), and what a task adds.
    """

    text: str
    opening: str
    answers: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Steps:
    """Units that a prompt too long is shrunk by; units of the first look (0: so many as well), which says what one takes; and
    how many times as many as fit by that the search begins with."""

    increment: int
    first: int = 0
    factor: int = 3


class Kind(Protocol):
    """One of the thirteen tasks; its prompt grows with the units of its haystack."""

    @property
    def name(self) -> str:
        """As RULER calls it."""

    @property
    def budget(self) -> int:
        """Tokens to be generated."""

    @property
    def least(self) -> int:
        """The fewest units that make a problem."""

    @property
    def any_answer(self) -> bool:
        """Is one of the answers enough (spellings of one thing)?"""

    def steps(self, length: int) -> "Steps":
        """In which steps the published generator looks for the units that fit."""

    def ready(self, length: int, faithful: bool, count: Count) -> "Kind":
        """The task at this length (in tokens) for a model whose tokens `count` counts."""

    def draw(self, draw: Draw, units: int) -> Draft:
        """Raises CampaignError where there is no text for so many units."""
