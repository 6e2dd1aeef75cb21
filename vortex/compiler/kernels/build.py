"""Machine code without a GPU: kernels are built in limited children, once; what was built or failed is remembered."""
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from vortex import child
from vortex.compiler.kernels.ahead import WAITING, Job, build_jobs
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import SHARED_LIMIT, Built
from vortex.compiler.kernels.store import Store, key_of
from vortex.config import Target
from vortex.errors import ChildFailure, ChildTimeout, CompileError

LIMIT_S = 60.0                            # of computing for one kernel; a pathological one takes minutes
START_S = 60.0                            # of a child, until Triton is there
MEMORY_BYTES = 16 << 30                   # of address space: LLVM reserves far more than it uses
FP8_SINCE = 89


def built(kernel: Kernel, target: str) -> Built:
    """The facts of one kernel on one chip. Raises CompileError for a chip that is not known, MissingExtra."""
    return build_all([(kernel, target)])[kernel.digest, target]


def build_all(wanted: Iterable[tuple[Kernel, str]], *, processes: int = 1,
              limit_s: float = LIMIT_S) -> Mapping[tuple[str, str], Built]:
    """Facts by (digest, target) of every kernel on its chip; only what no earlier run knows is built.

    A kernel that fails, or is not built within `limit_s`, has facts that say so. Raises CompileError and MissingExtra.
    """
    store = Store.usual()
    jobs: dict[tuple[str, str], Job] = {(kernel.digest, target): (key_of(kernel, target), kernel, known_target(target))
                                        for kernel, target in wanted}
    known = {key: found for key, kernel, target in jobs.values()
             if (found := _refused(kernel, target) or store.answer(key, limit_s))}
    known |= _shared_out([job for job in jobs.values() if job[0] not in known], store, processes, limit_s)
    return {name: known[job[0]] for name, job in jobs.items()}


def known_target(name: str) -> Target:
    """Raises CompileError."""
    for target in SHARED_LIMIT:
        if target == name:
            return target
    raise CompileError(f"kernels are not built for {name}", hint=f"Targets: {', '.join(SHARED_LIMIT)}.")


def _refused(kernel: Kernel, target: Target) -> Built | None:
    """What needs no compiler to be told."""
    if "*fp8e4nv" in kernel.signature.values() and int(target.removeprefix("sm_")) < FP8_SINCE:
        message = f"fp8 (e4m3) needs sm_{FP8_SINCE} or newer, and this is built for {target}; bfloat16 and fp8_e5m2 work there"
        return Built(target=target, failed="error", message=message)
    return None


def _shared_out(jobs: Sequence[Job], store: Store, processes: int, limit_s: float) -> dict[str, Built]:
    """Facts by key, from so many children at a time."""
    shares = [jobs[start::processes] for start in range(processes) if jobs[start::processes]]
    if not shares:
        return {}
    with tempfile.TemporaryDirectory(prefix="vortex-build-", ignore_cleanup_errors=True) as scratch:
        if len(shares) == 1:
            return _batch(shares[0], store, scratch, limit_s, Event())    # here: a share of one needs no thread
        stop = Event()
        with ThreadPoolExecutor(len(shares)) as threads:
            done = threads.map(lambda share: _batch(share, store, scratch, limit_s, stop), shares)
            try:
                return {key: facts for share in done for key, facts in share.items()}
            except KeyboardInterrupt:                                     # the threads would wait for their children
                stop.set()
                child.end_all()
                raise


def _batch(jobs: Sequence[Job], store: Store, scratch: str, limit_s: float, stop: Event) -> dict[str, Built]:
    """Built by one child, and by another one from where it died."""
    found: dict[str, Built] = {}
    while len(found) < len(jobs) and not stop.is_set():
        rest = jobs[len(found):]
        failure, lived_s = _run(rest, store, scratch, limit_s)
        for job in rest:
            facts = store.answer(job[0], limit_s)
            found[job[0]] = facts or _blamed(store, job, failure, limit_s, lived_s)
            if facts is None:
                break
    return found


def _run(jobs: Sequence[Job], store: Store, scratch: str, limit_s: float) -> tuple[ChildFailure | None, float]:
    """How the child ended, and how many seconds it lived."""
    started = time.monotonic()
    try:
        child.run(build_jobs, jobs, store, scratch, limit_s, wall_s=START_S + len(jobs) * WAITING * limit_s,
                  memory_bytes=MEMORY_BYTES)
    except ChildFailure as failure:
        return failure, time.monotonic() - started
    return None, time.monotonic() - started


def _blamed(store: Store, job: Job, failure: ChildFailure | None, limit_s: float, lived_s: float) -> Built:
    """The facts of the kernel at which a child ended. A timeout is kept; another end may have been the machine's doing."""
    key, kernel, target = job
    if failure is None:
        raise CompileError(f"what was built of {kernel.name} is gone from the cache", hint="Try again.")
    if not isinstance(failure, ChildTimeout) or lived_s < limit_s:
        return Built(target=target, failed="error", message=f"the compiler ended: {failure.message}")
    facts = Built(target=target, failed="timeout", seconds=limit_s, message=f"not built within {limit_s:g} s")
    store.write(key, facts)
    return facts
