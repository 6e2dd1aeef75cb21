"""Runs a function in a limited child process: wall clock, memory, and everything it started killed with it."""
import contextlib
import fcntl
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from vortex.errors import ChildCrash, ChildFailure, ChildMemory, ChildTimeout, VortexError

Result = TypeVar("Result")
PRELOADED = ["vortex.language.loader", "vortex.language.check", "vortex.compiler.front", "vortex.child"]
MORE_CPU_S = 5            # the wall clock ends a child first; this one is for a child that outlives its parent
GIVE_UP_S = 5.0
_starting = threading.Lock()


def _server() -> Any:
    """Children are forked from a server that has the language loaded and no threads of ours."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A child would run the parent's main module again, which for a command is half a second of imports."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def run(function: Callable[..., Result], *args: Any, wall_s: float, memory_bytes: int) -> Result:
    """`function(*args)`, computed in a child of its own process group. The function is importable from a module other
    than the main one; arguments and value can be pickled.

    `memory_bytes` is address space on top of what the child begins with. A VortexError raised in the child is raised
    again here. Raises ChildTimeout after `wall_s` seconds, ChildMemory, and ChildCrash for any other end.
    """
    context = _server()
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(there, function, args, wall_s, memory_bytes), daemon=True)
    with _starting, _without_main():         # threads that swap the main module at once would lose it
        child.start()
    there.close()
    try:
        answer: Result = _answer(here, child, function.__name__, wall_s)
        return answer
    finally:
        _end(child)
        here.close()


def end_all() -> None:
    """Ends every child that runs; whoever waits for one is told ChildCrash."""
    for child in multiprocessing.active_children():
        child.terminate()


def _answer(here: Connection, child: Any, name: str, wall_s: float) -> Any:
    """What the child sends. Raises VortexError."""
    if not here.poll(wall_s):
        raise ChildTimeout(f"{name} did not end within {wall_s:g} s", hint="Make it smaller, or allow it more time.")
    try:
        kind, value = here.recv()
    except EOFError:
        child.join(GIVE_UP_S)
        raise silent(name, child.exitcode) from None
    if kind == "raised":
        raise value
    return value


def silent(name: str, code: int | None) -> ChildFailure:
    """The failure of a child that left without a word."""
    if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM, -signal.SIGPROF):
        return ChildTimeout(f"{name} was stopped by the system (signal {-(code or 0)})")
    return ChildCrash(f"{name} ended without an answer (exit {code})")


def _end(child: Any) -> None:
    """Kills what is left of the child and of everything it started, and waits for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.is_alive():
        child.kill()
    child.join(GIVE_UP_S)
    child.close()


def _limit(wall_s: float, memory_bytes: int) -> None:
    os.setpgid(0, 0)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes,) * 2)
    seconds = int(time.process_time() + wall_s) + MORE_CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_reader(pipe: Connection, yes: bool) -> None:
    """Has the system end this process (SIGIO) when nobody is left to read its answer: the parent was killed."""
    flags = fcntl.fcntl(pipe.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(pipe.fileno(), fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC if yes else flags & ~os.O_ASYNC)


def _work(pipe: Connection, function: Callable[..., Any], args: tuple[Any, ...], wall_s: float,
          memory_bytes: int) -> None:
    """The child's whole life."""
    _limit(wall_s, memory_bytes)
    _end_with_reader(pipe, True)
    try:
        answer: tuple[str, Any] = ("value", function(*args))
    except VortexError as error:
        answer = ("raised", error)
    except MemoryError:
        answer = ("raised", ChildMemory(f"{function.__name__} used more than {memory_bytes:,} bytes"))
    # The fence of the sandbox: whatever else it raised is a named failure of the child, not a traceback of ours.
    except Exception as error:
        answer = ("raised", ChildCrash(f"{function.__name__} raised {type(error).__name__}: {str(error)[:500]}"))
    _end_with_reader(pipe, False)             # a long answer being read signals as well
    pipe.send(answer)
