"""The edit that a text needs to be Python, where the line that Python complains of shows it."""
import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from vortex.errors import Fix
from vortex.language.mend import lines_of
from vortex.language.place import Source

WORDS = re.compile(r"[A-Z][\w'\u2019-]*,? [\w ,;:.'\u2019()\u2013\u2014-]*[\w.:)!]")     # a line of prose
QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u00a0": " ", "\u2212": "-", "\u00d7": "*"})
OPEN_KEY = re.compile(r"""\[(["'])(\w+)\]|\[(\w+)(["'])\]""")
BEGINNINGS = ("def", "return", "class", "from", "import", "for", "if", "else:", "pass")
PROMPTS = (">>> ", "... ", "+ ", "$ ")


def unparsed(source: Source, number: int, message: str) -> Fix | None:
    """The fix of a syntax error of Python's, told by its words; it replaces the whole line."""
    lines = lines_of(source.text)
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    if not line.strip():
        return None
    change = next((change for words, change in CHANGES.items() if words in message), _spoken)
    new = change(lines[:number - 1], line)
    return Fix(line.rstrip(), new.rstrip()) if new is not None and new.rstrip() != line.rstrip() else None


def _spoken(before: Sequence[str], line: str) -> str | None:
    """Prose as a comment; a prompt, or a fence, left out."""
    text = line.strip()
    prompt = next((mark for mark in PROMPTS if f"{text} ".startswith(mark)), "")
    if prompt:
        return line.replace(prompt.strip() if text == prompt.strip() else prompt, "", 1) or "#"
    if text.startswith(("```", "~~~")):
        return line.replace(text, "#")
    first = text.split()[0]
    close = difflib.get_close_matches(first[:20], BEGINNINGS, n=1, cutoff=0.6)
    if close and first.islower() and first not in BEGINNINGS:
        return line.replace(first, close[0], 1)
    return line.replace(text, f"# {text}") if WORDS.fullmatch(text) and " = " not in text else None


def _indent(line: str) -> str:
    return line[:len(line) - len(line.lstrip())]


def _above(before: Sequence[str]) -> str:
    """The last line before that says something."""
    return next((text for text in reversed(before) if text.strip()), "")


def _deeper(before: Sequence[str], line: str) -> str:
    return f"{_indent(_above(before))}    {line.strip()}"


def _level(before: Sequence[str], line: str) -> str:
    return _indent(_above(before)) + line.strip()


def _nearest_level(before: Sequence[str], line: str) -> str:
    """The indentation, among those before, that is nearest; of two the deeper."""
    levels = {len(_indent(text)) for text in before if text.strip()}
    wanted = len(_indent(line))
    return " " * min(levels, key=lambda level: (abs(level - wanted), -level), default=0) + line.strip()


def _closed(before: Sequence[str], line: str) -> str:
    return line.rstrip() + "".join({"(": ")", "[": "]", "{": "}"}[mark] for mark in reversed(_waiting(line)))


def _waiting(line: str) -> str:
    """The brackets that a line opens and does not close."""
    waiting = ""
    for mark in line:
        if mark in "([{":
            waiting += mark
        elif mark in ")]}" and waiting:
            waiting = waiting[:-1]
    return waiting


def _matched(before: Sequence[str], line: str) -> str:
    """Each closing bracket as what it closes."""
    waiting, made = "", ""
    for mark in line:
        if mark in ")]}" and waiting:
            mark, waiting = {"(": ")", "[": "]", "{": "}"}[waiting[-1]], waiting[:-1]
        waiting += mark if mark in "([{" else ""
        made += mark
    return made


def _one_less(mark: str) -> Callable[[Sequence[str], str], str | None]:
    return lambda before, line: "".join(line.rsplit(mark, 1))


def _quoted(before: Sequence[str], line: str) -> str | None:
    """A key within brackets whose second quote, or first, is missing; else prose with an apostrophe."""
    found = OPEN_KEY.search(line)
    return OPEN_KEY.sub(lambda key: f'["{key[2] or key[3]}"]', line) if found is not None else _spoken(before, line)


CHANGES: Mapping[str, Callable[[Sequence[str], str], str | None]] = {
    "expected ':'": lambda before, line: line.rstrip() + ":",
    "was never closed": _closed,
    "Perhaps you forgot a comma": lambda before, line: re.sub(r"\b(dim|every|k|p|t|scale|first) (?=-?\d)", r"\1=", line),
    "does not match opening": _matched,
    "unmatched ')'": _one_less(")"), "unmatched ']'": _one_less("]"), "unmatched '}'": _one_less("}"),
    "expected an indented block": _deeper, "unexpected indent": _level, "unindent does not match": _nearest_level,
    "inconsistent use of tabs": lambda before, line: line.expandtabs(8),
    "Maybe you meant '=='": lambda before, line: line.replace(" = ", " == ", 1),
    "invalid character": lambda before, line: line.translate(QUOTES),
    "invalid non-printable character": lambda before, line: line.translate(QUOTES),
    "unterminated string literal": _quoted,
}
