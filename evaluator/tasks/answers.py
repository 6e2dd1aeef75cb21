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
_PLAIN = r"(?:\d{1,3}(?:,\d{3}){1,99}(?!,?\d)|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3}){1,99}(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+"
_FRACTION = re.compile(r"(?:(?P<sign>[+-])\s*)?\\[dt]?frac\s*\{\s*(?P<above>(?(sign)|[+-]?)\d+)\s*\}\s*\{\s*(?P<below>\d+)\s*\}")
_NUMBER = re.compile(rf"{_FRACTION.pattern}|(?:(?<![\w)\]}}])[+-])?(?:{_PLAIN})(?:[eE][+-]?\d+)?(?:\s*/\s*\d+)?")
_POWER_OF_TEN = re.compile(r"(?<=\d)\s*(?:\\times|\\cdot|[×·*])\s*10\s*\^\s*(?:\{\s*([+-]?\d+)\s*\}|([+-]?\d+))")
_OF_A_NAME = re.compile(r"[^\W\d]$|(?<!\\)[_^]\s*\{?\s*$")               # x2, m^2, a_{1}: no numbers of their own
_OPERAND = re.compile(r"\{\s*$|\\[a-zA-Z]+$|\\(?:times|cdot|div|sqrt|pm)\s*$|"
                      r"[\d)}](?:[+/×·.,:]|\*\*?)$|[\d)}] +(?:[+/×·]|\*\*?) +$")
_MIXED = re.compile(r"\d\s*$")        # before a fraction: 3 1/2
_OPERATOR = re.compile(r"\s*(?:\^|\\(?:sqrt|pi|[dt]?frac|times|cdot)|[+/×·]\s*[\d({\\])|\*\d|[eE]?\d")
_LEFT, _RIGHT = " \t\n$", " \t\n.$"   # of an answer; a dot before it is a decimal point
_NEAR = 24                            # characters on either side of a number that tell what it is part of
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
    plain = _trimmed(_SPACES.sub("", answer.replace("\\$", "")).replace("\\(", "").replace("\\)", ""))
    while (inner := _WRAPPED.sub(r"\1", plain)) != plain:
        plain = inner
    return _trimmed(_DEGREES.sub("", plain))


def _trimmed(text: str) -> str:
    return text.lstrip(_LEFT).rstrip(_RIGHT)


def integer(answer: str) -> int | None:
    """The whole number that `answer` is: `$1,024$`, `025`, `27.0`, `m+n = 12`, `\\text{7}`; None for any other text."""
    plain = _trimmed(unwrapped(answer).rpartition("=")[2]).replace(" ", "").replace("−", "-")
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    if len(plain) > DIGITS_MAX or not _INTEGER.fullmatch(plain):
        return None
    return int(plain.partition(".")[0])


def number(text: str) -> Fraction | None:
    """The number in the last box of `text`, which holds nothing else but perhaps `x =` before it; without a box the last number:
    `about 1,250.50 m` is 1250.5, `pages 5-10` is 10. None where that is a part of a formula, such as `2^{10}`."""
    box = last_box(text)
    if box is not None:
        return whole_number(unwrapped(box).rpartition("=")[2])
    plain = _written(text)
    for found in reversed(list(_NUMBER.finditer(plain))):
        before, after = plain[max(0, found.start() - _NEAR):found.start()], plain[found.end():found.end() + _NEAR]
        if not _OF_A_NAME.search(before):
            return None if _in_formula(before, found[0], after) else _value(found[0])
    return None


def _in_formula(before: str, said: str, after: str) -> bool:
    mixed = ("/" in said or "\\" in said) and _MIXED.search(before)
    return bool(mixed or _OPERAND.search(before) or _OPERATOR.match(after))


def whole_number(text: str) -> Fraction | None:
    """The number that `text` is as a whole: `3,000`, `3 000`, `1/2`, `\\frac{1}{2}`, `3 \\times 10^4`; None for any other."""
    found = _NUMBER.fullmatch(_trimmed(_written(text)))
    return _value(found[0]) if found else None


def _written(text: str) -> str:
    return _POWER_OF_TEN.sub(r"e\1\2", unwrapped(text).replace("−", "-"))


def _value(text: str) -> Fraction | None:
    plain = "".join(_FRACTION.sub(r"\g<sign>\g<above>/\g<below>", text).replace(",", "").split())
    above, _, below = plain.partition("/")
    _, _, exponent = above.lower().partition("e")
    if len(text) > DIGITS_MAX or len(exponent) > 4:      # 1e999999999 would be written out
        return None
    value = Fraction(above)
    if not below:
        return value
    return value / int(below) if int(below) else None
