"""Fenced blocks of a text in Markdown, as models write them: nested in docstrings, indented, never closed."""
import re
from collections.abc import Iterator
from dataclasses import dataclass

OPENING = re.compile(r"^(\s*)(`{3,}|~{3,})[ \t]*([^`]*)$")
HEADING = re.compile(r"([\w.-]+\.(?:py|json|toml|safetensors|md|txt|cu|cpp|sh))\b")
LITERAL = re.compile(r"#[^\n]*|\"\"\"|'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
WRAPPERS = ("markdown", "md")          # a fence around the whole answer, whose own fences are what counts
MOST_TRIES = 40                        # closing fences that may stand within one string


@dataclass(frozen=True, kw_only=True)
class Block:
    """`info` is the first word after the fence, in lower case; lines count from 0, `begin` is the first of the text, `end`
    the line after the last. `ending`: "fence", or "opening" of the next block, or "text" where nothing closed it.
    """

    info: str
    text: str
    begin: int
    end: int
    ending: str
    heading: str = ""

    @property
    def closed(self) -> bool:
        return self.ending == "fence"


def blocks(text: str) -> tuple[Block, ...]:
    """All fenced blocks that hold something, in their order; `text` has the line ends of Unix."""
    return tuple(block for block in _read(text.split("\n")) if block.text.strip())


def _read(lines: list[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        found = OPENING.match(lines[at])
        info = found[3].strip().lower() if found is not None else ""
        if found is None or info in WRAPPERS:
            at += 1
            continue
        end, ending = _end(lines, at + 1, found[2])
        text = "\n".join(_dedented(line, len(found[1])) for line in lines[at + 1:end])
        yield Block(info=re.split(r"[\s:{,]", info)[0], text=text + "\n", begin=at + 1, end=end, ending=ending,
                    heading=_heading(info, lines[max(at - 2, 0):at]))
        at = end + (ending == "fence")


def _end(lines: list[str], begin: int, fence: str) -> tuple[int, str]:
    """Where the text of a block ends. A fence within a string of the block's Python is a part of that string."""
    within: list[int] = []
    for at in range(begin, len(lines)):
        line = lines[at].strip()
        found = OPENING.match(lines[at]) if line.startswith(fence) else None
        if found is None or len(within) > MOST_TRIES:
            continue
        closes = set(line) == {fence[0]}
        if _within_a_string("\n".join(lines[begin:at])):
            within.extend([at] * closes)
        elif closes or found[3].strip():
            return at, "fence" if closes else "opening"
    return (within[0], "fence") if within else (len(lines), "text")


def _within_a_string(text: str) -> bool:
    """Whether a Python text breaks off within a string of three quotes."""
    at = 0
    while (found := LITERAL.search(text, at)) is not None:
        at = found.end()
        if found[0] in ('"""', "'''"):
            close = re.compile(rf"(?:\\.|[^\\])*?{found[0]}", re.DOTALL).match(text, at)
            if close is None:
                return True
            at = close.end()
    return False


def _dedented(line: str, indent: int) -> str:
    return line[min(indent, len(line) - len(line.lstrip())):]


def _heading(info: str, before: list[str]) -> str:
    """The name of a file that stands beside the fence or just above it."""
    for line in (info, *reversed(before)):
        found = HEADING.search(line)
        if found is not None:
            return found[1]
    return ""
