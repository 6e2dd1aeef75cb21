"""Which process of which machine wrote a row, and whether it still runs."""
import os
import socket
import time
from pathlib import Path

FAR_S = 3600.0                        # a process on another machine is believed to be at a call for this long


def me() -> str:
    """This process, told apart from a later one of the same number."""
    return f"{socket.gethostname()}/{os.getpid()}@{started(os.getpid())}"


def alive(process: str, since: float) -> bool:
    """Whether what `me` gave elsewhere still runs; `since`, in seconds since the epoch, decides for other machines."""
    host, _, rest = process.rpartition("/")
    number, _, ticks = rest.partition("@")
    if host != socket.gethostname():
        return time.time() - since < FAR_S
    return runs(int(number)) and started(int(number)) == ticks


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def started(pid: int) -> str:
    """When a process was started, in the kernel's ticks: tells a holder from a later process of the same number."""
    try:
        # The second field is the command in brackets and may hold blanks; the twenty-second is the start.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
