"""TOML as people type it: read with the place of a mistake, the line of a key, and `--set` applied on top."""
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vortex.errors import CampaignError, Where

Place = tuple[str | int, ...]
HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]\]?\s*(#.*)?$")
KEY = re.compile(r"^\s*([\w\-]+|\"[^\"]+\"|'[^']+')\s*=")
PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)$")
BARE_WORD = re.compile(r"^[A-Za-z./~][\w./~:\-]*$")


@dataclass(frozen=True)
class TomlText:
    """A text, what it is called, and what it says."""

    text: str
    path: str
    body: dict[str, Any]
    settings: Mapping[Place, str] = field(default_factory=dict)       # what --set put where

    def where(self, place: Place) -> Where:
        """The line of the key at `place`, or of the nearest table above it; the setting where --set wrote the key."""
        if place in self.settings:
            return Where("--set", 1, self.settings[place])
        lines = self.text.splitlines()
        known = dict(_places(lines))
        for size in range(len(place), 0, -1):
            if (line := known.get(place[:size])) is not None:
                return Where(self.path, line, lines[line - 1])
        return Where(self.path)


def _places(lines: Sequence[str]) -> Iterator[tuple[Place, int]]:
    """The place of every table and key that stands at the start of a line."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(lines, start=1):
        if header := HEADER.match(line):
            table = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
        elif key := KEY.match(line):
            yield (*table, key[1].strip("\"'")), number


def parse(text: str, path: str) -> TomlText:
    """Raises CampaignError at the line where the text stops being TOML."""
    try:
        return TomlText(text, path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        place = PLACE.search(str(error))
        lines = text.splitlines() or [""]
        line = min(int(place[1]), len(lines)) if place else len(lines)
        message = PLACE.sub("", str(error))
        raise CampaignError(f"not TOML: {message}", where=Where(path, line, lines[line - 1])) from error


def _value(text: str, setting: str) -> Any:
    """A TOML value; a bare word is taken for a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if BARE_WORD.match(text.strip()):
            return text.strip()
        hint = "Numbers stand bare, texts in quotes, lists in brackets: --set point.topk_ratio=[0.125]"
        raise CampaignError(f"--set {setting}: the value is not TOML", hint=hint, where=Where("--set", 1, setting)) from error


def _step(holder: Any, part: str, setting: str) -> Any:
    """One step down: a key of a table, or a table of an array by its number or by its `name` or `kind`."""
    if isinstance(holder, dict):
        return holder.setdefault(part, {})
    if isinstance(holder, list):
        for index, table in enumerate(holder):
            if part in (str(index), table.get("name"), table.get("kind")):
                return table
        names = ", ".join(str(t.get("name", t.get("kind"))) for t in holder)
        raise CampaignError(f"--set {setting}: there is no {part!r}", hint=f"There are: {names}.")
    raise CampaignError(f"--set {setting}: {part!r} has no keys under it")


def with_settings(toml: TomlText, settings: Sequence[str]) -> TomlText:
    """Applies `key=value` texts, keys dotted (`point.block_size`, `stage.retrieval.samples`). Raises CampaignError."""
    body = tomllib.loads(toml.text)
    places: dict[Place, str] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not sign or len(parts) < 2 or not all(parts):
            raise CampaignError(f"--set {setting}: not of the form table.key=value",
                                hint="For example: --set budget.candidates=8")
        holder: Any = body
        for part in parts[:-1]:
            holder = _step(holder, part, setting)
        if not isinstance(holder, dict):
            raise CampaignError(f"--set {setting}: {parts[-2]!r} has no keys under it")
        holder[parts[-1]] = _value(text, setting)
        places[tuple(parts)] = setting
    return TomlText(toml.text, toml.path, body, places)
