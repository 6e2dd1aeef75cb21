"""Ends what a killed command left: `python -m evaluator.reaper PID...`, with a pipe from it as standard input.

Ray's own agents outlive a killed driver by a minute, and what a worker started may outlive the worker. The pipe ends when
the driver is gone, however it went; each line of it names one more process to end, as "PID START". Nothing else of ours is
imported: it is there at once and holds little memory.
"""
import sys
from collections.abc import Iterable, Sequence

from evaluator.processes import Process, end, find

WITHIN_S = 5.0


def main(pids: Sequence[str], lines: Iterable[str]) -> None:
    """Waits for the end of `lines`, then kills."""
    known = {found for pid in pids if (found := find(int(pid))) is not None}
    for line in lines:
        pid, _, started = line.partition(" ")
        known.add(Process(int(pid), int(started)))
    end(known, WITHIN_S)


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin)
