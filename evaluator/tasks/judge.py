"""math-verify as a judge of two answers: in the driver, on any thread, and never for long.

Its own time limits need the main thread, so answers that could keep it busy (towers of powers, factorials, great
lengths) are not given to it.
"""
import importlib
import logging
import re
import threading
from functools import lru_cache
from types import ModuleType

from vortex.errors import MissingExtra

LENGTH_MAX = 200
_HEAVY = re.compile(r"!|\\(?:sum|prod|int|lim|binom)|\^\s*\{?\s*[^{}\s]*\d{3}|\^.*\^.*\^|\d{40}")
_TOWER = re.compile(r"\^\s*\{[^{}]*\^")
_one_at_a_time = threading.Lock()                       # sympy's caches are not made for threads


def same(gold: str, answer: str) -> bool | None:
    """Are two pieces of LaTeX, each what stands in one box, the same? None where the judge is not asked.

    Raises MissingExtra.
    """
    library = _library()
    if any(len(text) > LENGTH_MAX or _HEAVY.search(text) or _TOWER.search(text) for text in (gold, answer)):
        return None
    with _one_at_a_time:
        try:
            first, second = (library.parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer))
            return bool(library.verify(first, second, timeout_seconds=None))
        except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError, NotImplementedError):
            return None                                 # what sympy raises over text that is no mathematics


@lru_cache(maxsize=1)
def _library() -> ModuleType:
    try:
        library = importlib.import_module("math_verify")        # half a second, and only maths is judged with it
    except ImportError as error:
        raise MissingExtra("math-verify is not installed", hint='pip install "vortex-platform[tasks]"') from error
    for name in ("math_verify", "math_verify.parser", "math_verify.grader", "math_verify.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)          # it warns at each call that no time limit is set
    return library
