"""What needles are hidden in: the same five sentences again and again, or running text; and how they are laid into it."""
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.tasks.ruler import corpora, prose
from evaluator.tasks.ruler.draw import Draw

NOISE = "The bread is warm. The lamp is lit. The path is dry. Off we walk. Home again by night."
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Essays:
    """Running text by words: our own prose, or what lay at `place` with the hash it had when it was named (corpora.essays)."""

    place: str = ""
    digest: str = ""

    def sentences(self, draw: Draw, words: int) -> list[str]:
        """The first `words` words, cut where sentences end; essays are begun again where they end."""
        if self.place:
            text = corpora.essay_words(self.place, self.digest)
            found = list((text * (words // len(text) + 1))[:words])
        elif draw.faithful:
            found = prose.corpus_words(words)
        else:
            found = prose.words(draw.stream("prose"), words)
        return _SENTENCE_END.split(" ".join(found))


OWN_PROSE = Essays()


def lay(lines: Sequence[str], needles: Sequence[str], places: Sequence[int], glue: str) -> tuple[str, list[float]]:
    """The text with needle i before line `places[i]` (rising), and the depth of each needle.

    A depth is the share of the other text that stands before the needle: 0 is the first place, 1 the last.
    """
    pieces: list[str] = []
    before: list[int] = []
    done = said = 0
    for needle, place in zip(needles, places, strict=True):
        pieces += lines[done:place]
        said += sum(len(line) for line in lines[done:place])
        before.append(said)
        pieces.append(needle)
        done = place
    pieces += lines[done:]
    said += sum(len(line) for line in lines[done:])
    return glue.join(pieces), [at / max(said, 1) for at in before]
