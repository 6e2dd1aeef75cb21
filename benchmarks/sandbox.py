"""What the wall costs: the same text loaded by a plain limited child and by one in the sandbox, turn by turn.

    python benchmarks/sandbox.py [--calls 50]

Prints median and 95th percentile of each, their difference and ratio, for every means that holds on this machine; starting the
warm parent, paid once a process, stands apart.
"""
import argparse
import statistics
import time
from collections.abc import Callable

from machine import record

from evaluator.sandbox import Sandbox
from evaluator.sandbox.choice import working
from evaluator.sandbox.entries import load_flow, plain
from vortex import child, flows
from vortex.ir import Geometry

WALL_S, MEMORY_BYTES = 20.0, 2 << 30
FLOW = "quest"
TOLD = ("{name:12} plain {plain_ms:.1f} ms, sandboxed {sandboxed_ms:.1f} ms (95 %: {sandboxed_p95_ms:.1f}), "
        "difference {difference_ms:+.1f} ms, ratio {ratio:.2f}; the parent starts in {start_ms:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=50)
    asked = parser.parse_args()
    found = {means.name: compared(Sandbox(means), asked.calls) for means in working()}
    for name, told in found.items():
        print(TOLD.format(name=name, **told))
    record("sandbox", 1, found)


def compared(sandbox: Sandbox, calls: int) -> dict[str, float]:
    """Milliseconds. The two take turns, so that whatever else this machine does falls on both."""
    text, path = flows.read(FLOW)[1:]
    args = (load_flow, text, path, *plain(Geometry(), ()))
    start_ms = timed(sandbox.start)
    child.run(*args, wall_s=WALL_S, memory_bytes=MEMORY_BYTES)
    plains, walled = [], []
    for _ in range(calls):
        plains.append(timed(lambda: child.run(*args, wall_s=WALL_S, memory_bytes=MEMORY_BYTES)))
        walled.append(timed(lambda: sandbox.run(*args, wall_s=WALL_S, memory_bytes=MEMORY_BYTES)))
    sandbox.close()
    plain_ms, sandboxed_ms = statistics.median(plains), statistics.median(walled)
    return {"calls": calls, "plain_ms": plain_ms, "sandboxed_ms": sandboxed_ms, "difference_ms": sandboxed_ms - plain_ms,
            "ratio": sandboxed_ms / plain_ms, "plain_p95_ms": p95(plains), "sandboxed_p95_ms": p95(walled), "start_ms": start_ms}


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - started)


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


if __name__ == "__main__":
    main()
