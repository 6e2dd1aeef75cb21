"""Where in a flow's text something goes wrong, and how errors of its Python become errors of the flow."""
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from vortex.errors import FlowContractError, VortexError, Where
from vortex.language.mend import Position, lines_of, position, settle

PYTHON_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NameError, RecursionError)


@dataclass(frozen=True)
class Source:
    """The text a flow was written in, for placing what is wrong in it."""

    path: str
    text: str

    def line(self, number: int) -> str:
        if self.text:
            lines = lines_of(self.text)
            return lines[number - 1] if 0 < number <= len(lines) else ""
        return linecache.getline(self.path, number)

    def where(self, number: int) -> Where:
        return Where(self.path, number, self.line(number).strip())

    def settle(self, error: VortexError, at: Position | None) -> None:
        """Names the expression at fault, and fits the fix of `error` to the text."""
        settle(error, self.text or "".join(linecache.getlines(self.path)), at)

    def assigned(self, number: int) -> str:
        """What the assignment on this line assigns."""
        return self.line(number).partition(" = ")[2].partition("  #")[0].strip()


def _lines(trace: TracebackType | None, path: str) -> Iterator[int]:
    """The lines of `path` that a traceback runs through, outermost first."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            yield trace.tb_lineno
        trace = trace.tb_next


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""


def run(source: Source, body: Callable[..., Any], *args: object) -> Any:
    """Runs a flow's code; what goes wrong in it is placed, and errors of Python become errors of the flow."""
    try:
        return body(*args)
    except VortexError as error:
        if not error.where.line:
            error.at(source.where(max([0, *list(_lines(error.__traceback__, source.path))[-1:]])))
            source.settle(error, position(error.__traceback__, source.path))
        raise error from None
    except PYTHON_ERRORS as error:
        lines = list(_lines(error.__traceback__, source.path))
        if _innermost(error) != source.path and not isinstance(error, RecursionError):
            raise
        message = f"{type(error).__name__}: {str(error)[:200]}"
        raise FlowContractError(message, where=source.where(lines[-1] if lines else 0)) from error
