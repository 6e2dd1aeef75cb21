"""How the target model reads: its tokenizer, its chat template and its longest context. In the driver, which writes prompts."""
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from vortex.config import OperatingPoint

if TYPE_CHECKING:
    from vortex.serving.checkpoint import Checkpoint, ModelTokenizer

SPELLED = 0.8                         # of the letters and digits: a chat template's marks are not given back


@dataclass(frozen=True)
class Reader:
    """A model by name, as tasks see it; nothing is loaded before it is asked for. `thinking` None: the model has one mode."""

    model: str
    engine: str
    thinking: bool | None = None

    @staticmethod
    def of(point: OperatingPoint, thinking: bool | None = None) -> "Reader":
        return Reader(point.model, point.engine, thinking)

    @property
    def max_tokens(self) -> int:
        """The longest context of the model, in tokens. Raises ModelError."""
        return _loaded(self.model, self.engine)[0].shape.max_tokens

    @property
    def tokenizer(self) -> "ModelTokenizer":
        """Raises ModelError."""
        return _loaded(self.model, self.engine)[1]

    def count(self, text: str) -> int:
        """Tokens of a prompt."""
        return len(self.tokenizer.encode(text))

    def spells(self, text: str) -> bool:
        """Does the tokenizer give back what was written, but for marks of a chat? One with a fixed list of words may not."""
        given, written = self.tokenizer.decode(self.tokenizer.encode(text)), sum(map(str.isalnum, text))
        return sum(map(str.isalnum, given)) >= SPELLED * written

    def chat(self, text: str) -> str:
        """The prompt that asks `text` of the model through its chat template, up to its answer. Raises ModelError."""
        return self.tokenizer.chat([{"role": "user", "content": text}], thinking=self.thinking)


@lru_cache(maxsize=4)
def _loaded(model: str, engine: str) -> "tuple[Checkpoint, ModelTokenizer]":
    from vortex.serving.checkpoint import find_checkpoint, load_tokenizer  # seconds of imports that most tasks do without

    checkpoint = find_checkpoint(model, engine)  # type: ignore[arg-type]  # a point's engine is one of them
    return checkpoint, load_tokenizer(checkpoint)
