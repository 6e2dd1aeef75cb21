"""Judges candidates on a simulated cluster in a storm of faults, and counts what must not be: rows lost or doubled,
candidates blamed for the infrastructure, processes left behind, limits overrun.

    PYTHONPATH=. python benchmarks/faults.py --evaluations 300
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import record

from tests.evaluator.faults import Tally, trial


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """A disk of one megabyte at `folder`; where none can be mounted, the device that is always full stands in."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        for number in range(10_000):
            folder.mkdir(exist_ok=True)
            (folder / str(number)).symlink_to("/dev/full")
        yield "/dev/full"
        return
    try:
        yield "a tmpfs of 1 MB"
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def told(tally: Tally, disk: str) -> dict[str, object]:
    """What is kept of a trial."""
    return {"evaluations": tally.evaluations, "kinds": tally.kinds, "storm": dict(tally.storm), "full disk": disk,
            "attempts": tally.attempts, "attempts that ended as infrastructure": tally.infrastructure,
            "rows lost": tally.lost_rows, "rows doubled": tally.doubled_rows, "wrong verdicts": tally.wrong_verdicts,
            "processes left behind": tally.orphans, "limits broken": len(tally.overruns_s),
            "worst overrun (s)": round(max(tally.overruns_s, default=0.0), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--every", type=int, default=3, help="a blow to so many evaluations, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="a folder for the record; the default is benchmarks/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vortex-faults-") as room, small_disk(Path(room) / "disk") as disk:
        tally = trial(options.evaluations, options.seed, Path(room), options.every)
    path = record("faults", 1, told(tally, disk), **({} if options.out is None else {"folder": options.out}))
    print("\n".join(tally.faults) or f"{tally.evaluations} evaluations, {sum(tally.storm.values())} blows: nothing lost, nothing "
          f"doubled, nobody blamed, nothing left; the worst overrun {max(tally.overruns_s, default=0.0):.2f} s")
    print(path)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
