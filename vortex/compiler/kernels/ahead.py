"""Builds kernels ahead of time, without a GPU. Runs in a child process that ends afterwards: it changes the environment."""
import contextlib
import io
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import Built, facts
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.store import HINT, Store
from vortex.config import Target
from vortex.errors import CompileError

Job = tuple[str, Kernel, Target]             # key in the store, kernel, target
WARP = 32
WAITING = 4
MOST_MESSAGE = 1500


def build_jobs(jobs: Sequence[Job], store: Store, scratch: str, limit_s: float) -> None:
    """Leaves an entry for each job, in order. One that computes for more than `limit_s` ends the process (SIGPROF), and so
    does one that waits for more than WAITING times that (SIGALRM): no handler would run, since a compiler stuck in a pass
    does not come back to Python. The limit is not one of the clock on the wall, which other programs make run faster."""
    _set_up(store, scratch)
    import triton  # noqa: F401  (its import belongs to no kernel's time)

    for ending in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(ending, signal.SIG_DFL)
    for key, kernel, target in jobs:
        with store.locked(key):
            if store.answer(key, limit_s) is None:                       # else another process was faster
                _allow(limit_s)
                built, ptx = _attempt(kernel, target)
                _allow(0)
                store.write(key, built, ptx)


def _allow(limit_s: float) -> None:
    """So many seconds of computing until this process ends; 0: no limit."""
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    signal.setitimer(signal.ITIMER_REAL, WAITING * limit_s)


def _set_up(store: Store, scratch: str) -> None:
    """What Triton reads when it is imported. Its own cache is thrown away with `scratch`: ours holds what is worth it."""
    os.environ.pop("TRITON_INTERPRET", None)
    os.environ |= {"TRITON_CACHE_DIR": scratch, "TRITON_DUMP_PTXAS_LOG": "1", "VORTEX_CACHE": str(store.folder.parent)}
    tempfile.tempdir = scratch
    silence = os.open(Path(scratch) / f"said-{os.getpid()}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(silence, 2)                                        # passes that fail print whole programs


def _attempt(kernel: Kernel, target: Target) -> tuple[Built, str]:
    """The facts and the PTX; a kernel that cannot be built is an answer as well."""
    started = time.perf_counter()
    try:
        compiled, log = _compiled(kernel, target)
        told = facts(log, compiled.asm["ptx"], compiled.asm["cubin"])
        seconds = round(time.perf_counter() - started, 3)
        return Built(target=target, shared=compiled.metadata.shared, seconds=seconds, **told), compiled.asm["ptx"]
    except MemoryError:                                        # of this machine, not of the kernel; so is an OSError
        raise
    except OSError as error:
        raise CompileError(f"kernels cannot be built on this machine: {error}", hint=HINT) from error
    # A fence: Triton has no one class of failures, and whatever it raises of a kernel is the kernel's.
    except Exception as error:
        seconds = round(time.perf_counter() - started, 3)
        return Built(target=target, failed="error", seconds=seconds, message=_told(error)), ""


def _compiled(kernel: Kernel, target: Target) -> tuple[Any, str]:
    """Triton's compiled kernel and the log of ptxas."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_triton

    function = getattr(module_of(kernel.source), kernel.entry)
    names = list(function.arg_names)
    types = {name: "constexpr" if name in kernel.constants else kernel.signature[name] for name in names}
    constants = {(names.index(name),): value for name, value in kernel.constants.items()}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in kernel.aligned}
    options = {"num_warps": kernel.warps, "num_stages": kernel.stages, "enable_fp_fusion": kernel.contraction}
    with contextlib.redirect_stdout(io.StringIO()) as log:
        compiled = compile_triton(ASTSource(function, types, constants, aligned), options=options,
                                  target=GPUTarget("cuda", int(target.removeprefix("sm_")), WARP))
    return compiled, log.getvalue()


def _told(error: Exception) -> str:
    """The offending line and what is wrong with it, without the program and the command that Triton repeats."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    reason = getattr(chain[-1], "error_message", None) or str(chain[-1])
    said = f"{type(chain[-1]).__name__}: {reason.split('Repro command')[0].strip()[:MOST_MESSAGE]}"
    for at in reversed(chain):                                 # the innermost that has a place
        if getattr(at, "src", None) and hasattr(getattr(at, "node", None), "lineno"):
            lines: list[str] = at.src.split("\n")              # type: ignore[attr-defined]
            return f"`{lines[at.node.lineno - 1].strip()}`: {said}"  # type: ignore[attr-defined]
    return said
