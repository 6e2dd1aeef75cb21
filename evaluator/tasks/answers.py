"""What a model answered: the text after its thinking, the last box in it, and the number it says."""
import re
from fractions import Fraction

_THINK_END = "</think>"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|boxed|fbox|operatorname|mbox)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"\\[,;:! ]|\\(?:quad|qquad)\b|~|\{,\}")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\(?:degree|circ)\b|°")
_INTEGER = re.compile(r"[+-]?\d+(?:\.0*)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?(?:\s*/\s*\d+)?|[+-]?\.\d+")
_EDGES = " \t\n.$"
DIGITS_MAX = 400              # of a number that is read as one: no answer of a task is longer


def said(text: str, thinking: bool | None = None) -> str:
    """What follows the last end of thinking in `text`; nothing where thinking was asked for, or begun, and not ended."""
    _, ended, after = text.rpartition(_THINK_END)
    return "" if "<think>" in after or (thinking and not ended) else after


def last_box(text: str) -> str | None:
    """What stands in the last box whose braces close; None without one."""
    for start in reversed([match.end() for match in _BOX.finditer(text)]):
        inside = _to_closing_brace(text, start)
        if inside is not None:
            return inside
    return None


def _to_closing_brace(text: str, start: int) -> str | None:
    depth, place = 1, start
    while place < len(text):
        if text[place] == "\\":                     # \{ and \} are signs, not braces
            place += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
        place += 1
    return None


def unwrapped(answer: str) -> str:
    """Without dollars, degrees, spacing commands and the wrappers that only set letters: `\\text{ 7 }` is `7`."""
    plain = _SPACES.sub("", answer.replace("\\$", "")).replace("\\(", "").replace("\\)", "").strip(_EDGES)
    while (inner := _WRAPPED.sub(r"\1", plain)) != plain:
        plain = inner
    return _DEGREES.sub("", plain).strip(_EDGES)


def integer(answer: str) -> int | None:
    """The whole number that `answer` is: `$1,024$`, `025`, `27.0`, `m+n = 12`, `\\text{7}`; None for any other text."""
    plain = unwrapped(answer).rpartition("=")[2].strip(_EDGES).replace(" ", "").replace("−", "-")
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    if len(plain) > DIGITS_MAX or not _INTEGER.fullmatch(plain):
        return None
    return int(plain.partition(".")[0])


def number(text: str) -> Fraction | None:
    """The number that `text` ends with, boxed or not: `about 1,250.50 m` is 1250.5; None without one."""
    box = last_box(text)
    found = _NUMBER.findall(unwrapped(text if box is None else box).replace("−", "-"))
    return _fraction(found[-1]) if found else None


def _fraction(text: str) -> Fraction | None:
    above, _, below = text.replace(",", "").replace(" ", "").partition("/")
    _, _, exponent = above.lower().partition("e")
    if len(text) > DIGITS_MAX or len(exponent) > 4:      # 1e999999999 would be written out
        return None
    value = Fraction(above)
    if not below:
        return value
    return value / int(below) if int(below) else None
