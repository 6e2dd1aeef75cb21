"""The written corpus: `attempts/*.txt`, entries of a title and the text.

An entry is a body of forward_indexer, or a whole text where the title begins with `text: `. The line that must be
refused ends in `#!`; an entry without one may load, if nothing comes of it.
"""
from dataclasses import dataclass
from pathlib import Path

from tests.language.hostile.bombs import body

FOLDER = Path(__file__).parent / "attempts"


@dataclass(frozen=True)
class Attempt:
    title: str
    text: str

    @property
    def refused_at(self) -> int:
        """The line that is marked; 0 where none is."""
        return next((number for number, line in enumerate(self.text.split("\n"), 1) if line.endswith("#!")), 0)


def attempts() -> list[Attempt]:
    return [_attempt(path.stem, entry) for path in sorted(FOLDER.glob("*.txt"))
            for entry in path.read_text().split("=== ")[1:]]


def _attempt(file: str, entry: str) -> Attempt:
    title, _, text = entry.partition("\n")
    if not title.startswith("text: "):
        text = body(*text.rstrip("\n").split("\n"))
    return Attempt(f"{file}: {title}", text)
