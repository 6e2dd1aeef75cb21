"""The bar of a command whose steps can be counted."""
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


def bar_of(json: bool, total: int) -> AbstractContextManager[Progress | None]:
    """On stderr, where that is a terminal."""
    console = Console(stderr=True, highlight=False)
    if json or not console.is_terminal:
        return nullcontext()
    bar = Progress(BarColumn(bar_width=40), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=console,
                   transient=True)
    bar.add_task("", total=total)
    return bar
