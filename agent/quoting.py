"""Data in prompts: texts that others wrote, marked so that no such text can end its own mark or hide what it says."""
import hashlib
import json
import unicodedata
from itertools import count

KEPT = "\n\t"
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")       # control, direction, invisible and unassigned characters


def plain(text: str) -> str:
    """The text with every character that does not show itself written out as its code."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(letter if letter in KEPT or unicodedata.category(letter) not in HIDDEN else _code(letter)
                   for letter in lines)


def fenced(text: str, label: str = "text", most: int = 4000) -> str:
    """`text` between two lines that carry a key which does not occur in it: nothing inside can close the fence."""
    body = clipped(plain(text).strip("\n"), most)
    key = _key(body)
    return f"<data {key} {label}>\n{body}\n</data {key}>"


def quoted(text: str, most: int = 100) -> str:
    """`text` on one line in double quotes, those inside escaped; at most `most` characters of it."""
    line = " ".join(plain(text).split())
    return json.dumps(line if len(line) <= most else line[:most - 1] + "…", ensure_ascii=False)


def clipped(text: str, most: int) -> str:
    """At most `most` characters, whole lines where there are several; the last line says what is left out."""
    if len(text) <= most:
        return text
    kept = text[:most].rpartition("\n")[0] or text[:most]
    return f"{kept}\n… {len(text) - len(kept)} more characters are left out"


def _key(body: str) -> str:
    """Taken from the text itself, so that equal texts are fenced equally."""
    keys = (hashlib.blake2b(f"{number}/{body}".encode(), digest_size=4).hexdigest() for number in count())
    return next(key for key in keys if key not in body)


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
