"""The red team's table: every cheat on the shelf of the tests, the door it comes by and what caught it.

    python benchmarks/red_team.py

Ends with 1 where one got through, or was caught by another name than is claimed.
"""
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.evaluator.cheats.shelf import shelf


def main() -> int:
    torch.set_num_threads(1)
    wrong, seen = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for cheat in shelf(stack, Path(folder)):
            found = cheat.attempt()
            seen[cheat.shelf] += 1
            wrong += found != cheat.caught_by
            mark = "" if found == cheat.caught_by else f"   EXPECTED {cheat.caught_by}"
            print(f"{cheat.shelf:8} {cheat.tries:58} {found}{mark}", flush=True)
    counts = ", ".join(f"{name} {count}" for name, count in seen.items())
    print(f"\n{seen.total() - wrong} of {seen.total()} caught by name ({counts})")
    if not seen["sandbox"]:
        print("No sandbox here: texts of others are refused, and what breaks out of the language was not tried.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
