"""What commands print: columns, JSON, and nothing that a pipe could trip over."""
import json
from collections.abc import Sequence
from typing import Any


def columns(rows: Sequence[Sequence[str]], gap: int = 2) -> str:
    """Rows of cells as aligned text; the last column is as long as it is."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(count)]
    return "\n".join((" " * gap).join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows)


def to_json(value: Any) -> str:
    """JSON for people and programs; a number that is none becomes null."""
    return json.dumps(_finite(value), indent=2, default=str)


def to_json_line(value: Any) -> str:
    """The same on one line."""
    return json.dumps(_finite(value), default=str, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def duration_text(seconds: float) -> str:
    """`3:41`, `1:02:07`."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
