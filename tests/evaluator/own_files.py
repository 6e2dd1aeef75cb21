"""Files that stand for the platform's own, and what a candidate may do to them."""
import os
from pathlib import Path

from evaluator.guard.harness import Harness

FILE = "vortex/a.py"


def one_file(root: Path) -> Harness:
    """Of a platform of one file, FILE below `root`."""
    (root / FILE).parent.mkdir()
    (root / FILE).write_text("a = 1\n")
    return Harness.taken(root, ("vortex",))


def rewritten(path: Path, text: str, *, same_times: bool = False) -> None:
    """With `same_times` a look at size and time does not tell, for texts of the same length."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (not same_times)))
