"""Files of records on this machine that are read as text: JSONL and CSV, with the place of what cannot be read."""
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vortex.errors import CampaignError

ENCODING = "utf-8-sig"                # some editors begin a file with the mark of its byte order
_OBJECTS = "A JSONL file has one object a line."
_CELL_MAX = 1 << 30                   # characters: a prompt may be as long as a model reads


def find_file(path: str) -> Path | None:
    """None where there is none, and for what cannot be the name of one."""
    try:
        file = Path(path).expanduser()
        return file if file.is_file() else None
    except (OSError, RuntimeError, ValueError):      # too long, of no user, with a zero byte in it
        return None


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file. Raises CampaignError."""
    try:
        lines = file.read_text(encoding=ENCODING).split("\n")       # splitlines would end a line within a text, at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"cannot read {file}: {error}") from error
    return (_object(line, f"{file}:{place}") for place, line in enumerate(lines, 1) if line.strip())


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise CampaignError(f"{place} is not JSON: {error}", hint=_OBJECTS) from error
    except UnicodeEncodeError as error:
        raise CampaignError(f"{place} holds half of a surrogate pair, which is no letter",
                            hint="Write the letter itself, or both halves: \\ud83d\\ude00.") from error
    except ValueError as error:
        raise CampaignError(f"{place} holds a number of too many digits", hint="Put quotes around it.") from error
    except RecursionError as error:
        raise CampaignError(f"{place} holds too many brackets within each other", hint=_OBJECTS) from error
    if not isinstance(record, dict):
        raise CampaignError(f"{place} is no object", hint=_OBJECTS)
    return record


def read_csv(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file by its first line; each cell is the text that stands there. Raises CampaignError."""
    csv.field_size_limit(_CELL_MAX)
    try:
        with file.open(encoding=ENCODING, newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            _check_head(file, rows.fieldnames or ())
            return [_row(row, f"{file}:{rows.line_num}") for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CampaignError(f"cannot read {file}: {error}") from error


def _check_head(file: Path, columns: Any) -> None:
    twice = [name for name in columns if list(columns).count(name) > 1]
    if twice:
        raise CampaignError(f"{file}: the column {twice[0]} stands {twice.count(twice[0])} times")


def _row(row: dict[Any, Any], place: str) -> dict[str, Any]:
    if None in row:
        raise CampaignError(f"{place} has more cells than the first line", hint="A cell with a comma in it stands in quotes.")
    return row
