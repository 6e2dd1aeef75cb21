"""From drafts to prompts of one model: its chat template, the opened reply, and what all of it takes in tokens."""
from collections.abc import Callable
from dataclasses import dataclass

from evaluator.tasks.reader import Reader
from evaluator.tasks.rendering import Manner, manner, rendered
from evaluator.tasks.ruler.draft import Draft, Kind
from evaluator.tasks.ruler.draw import Draw
from vortex.errors import CampaignError

_SPELLED = 4000              # characters of a prompt that the tokenizer has to give back


@dataclass(frozen=True)
class Pen:
    """Writes prompts for one model."""

    reader: Reader
    how: Manner

    @staticmethod
    def of(name: str, length: int, reader: Reader) -> "Pen":
        """Raises CampaignError for a length that the model does not read, and for a model that is to think."""
        if length > reader.max_tokens:
            raise CampaignError(f"{name} asks for {length} tokens; {reader.model} reads at most {reader.max_tokens}",
                                hint=f"Lengths for this model: 512 to {reader.max_tokens} tokens.")
        how = manner(reader)
        if how.thinking:
            raise CampaignError(f"{name} opens the model's reply, which leaves it nowhere to think",
                                hint="Set `thinking = false` in the stage, or give --no-thinking.")
        return Pen(reader, how)

    def prompt(self, draft: Draft) -> str:
        """With a chat template the opening stands behind the header of the reply."""
        text = rendered(self.reader, self.how, draft.text)
        return text + (draft.opening.lstrip() if self.how.template else draft.opening)

    def spells(self, draft: Draft) -> bool:
        """Does the tokenizer give back what was written, spaces and case aside? One with a fixed list of words does not."""
        text = " ".join([draft.text[:_SPELLED], *draft.answers])
        tokenizer = self.reader.tokenizer
        return _letters(tokenizer.decode(tokenizer.encode(text))) == _letters(text)


class Attempt:
    """A sample that is drawn at one size after another until it fits; it is the prompt of the last try."""

    def __init__(self, kind: Kind, pen: Pen, draw: Callable[[], Draw]) -> None:
        self._kind, self._pen, self._draw = kind, pen, draw
        self.units = 0
        self.draft = Draft("", "", ())
        self.prompt = ""
        self.length = 0

    def tokens(self, units: int) -> int:
        """Of the prompt and the answer that it leaves room for. A running stream draws anew, others only where they must."""
        draw = self._draw()
        if units != self.units or draw.faithful:
            self.units, self.draft = units, self._kind.draw(draw, units)
            self.prompt = self._pen.prompt(self.draft)
            self.length = self._pen.reader.count(self.prompt)
        return self.length + self._kind.budget


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
