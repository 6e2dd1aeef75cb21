"""Ends what a killed process left: `python -m evaluator.reaper PID...`, with a pipe from it as standard input.

Ray's own agents outlive a killed driver by a minute, and what a worker started may outlive the worker. The pipe ends when
the process is gone, however it went; each line of it names one more to end, as "PID START". Nothing else of ours is
imported: it is there at once and holds little memory.
"""
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from evaluator.processes import Process, end, find

WITHIN_S = 5.0


class Reaper:
    """A process in a session of its own, which no Ctrl-C reaches; only the one that made it holds the pipe."""

    def __init__(self, members: Iterable[Process] = ()) -> None:
        """`members` are ended with this process."""
        root = str(Path(__file__).parents[1])
        command = [sys.executable, "-S", "-m", "evaluator.reaper", *(str(one.pid) for one in sorted(members))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True,
                                         env={**os.environ, "PYTHONPATH": root})

    def tell(self, found: Process) -> None:
        """One more to end."""
        with suppress(OSError, ValueError):                # nobody reads any more: it was stopped, or killed
            assert self._process.stdin is not None, "it was made with a pipe"
            self._process.stdin.write(b"%d %d\n" % (found.pid, found.started))
            self._process.stdin.flush()

    def stop(self) -> None:
        """Nothing is left to end."""
        self._process.kill()
        self._process.wait()


def main(pids: Sequence[str], lines: Iterable[str]) -> None:
    """Waits for the end of `lines`, then kills."""
    known = {found for pid in pids if (found := find(int(pid))) is not None}
    for line in lines:
        pid, _, started = line.partition(" ")
        known.add(Process(int(pid), int(started)))
    end(known, WITHIN_S)


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin)
