"""Golden files: flows that are wrong, and the words in which that is said.

A file holds entries: a line `=== title`, the members of a class (or, after `=== text: `, a whole text), a line `---`, and
the report. VORTEX_ACCEPT_GOLDEN=1 writes what is said now into the files, to be read as a diff.
"""
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vortex.compiler.front import load
from vortex.errors import FlowError
from vortex.ir import Geometry

FOLDER = Path(__file__).parent / "golden"
HEAD = 'from vortex import ops, register, vFlow\n\n\n@register("x")\nclass X(vFlow):\n'
ACCEPT = bool(os.environ.get("VORTEX_ACCEPT_GOLDEN"))


@dataclass(frozen=True)
class Golden:
    file: str
    title: str
    written: str
    report: str

    @property
    def text(self) -> str:
        return self.written if self.title.startswith("text: ") else HEAD + self.written


def goldens() -> list[Golden]:
    return [golden for path in sorted(FOLDER.glob("*.txt")) for golden in _read(path)]


def _read(path: Path) -> Iterator[Golden]:
    for entry in path.read_text().split("=== ")[1:]:
        title, _, rest = entry.partition("\n")
        written, _, report = rest.partition("---\n")
        yield Golden(path.stem, title, written, report.rstrip("\n"))


def refusal(text: str) -> FlowError | None:
    try:
        load(text, "my_flow.py", Geometry())
    except FlowError as error:
        return error
    return None


def accept() -> None:
    """Writes the reports of today into the golden files."""
    for path in sorted(FOLDER.glob("*.txt")):
        parts = []
        for golden in _read(path):
            error = refusal(golden.text)
            report = error.report() if error is not None else "LEGAL"
            parts.append(f"=== {golden.title}\n{golden.written}---\n{report}\n")
        path.write_text("\n".join(parts))
