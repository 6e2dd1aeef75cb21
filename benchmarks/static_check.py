"""Times the static check of every built-in flow in a warm process, and `vortex check` from a cold shell."""
import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import record

from vortex import flows
from vortex.compiler.front import load
from vortex.ir import Geometry

VORTEX = str(Path(sys.executable).with_name("vortex"))


def milliseconds(action: object, repeats: int) -> dict[str, float]:
    assert callable(action)
    action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": statistics.median(taken), "worst_ms": max(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    warm = {}
    for name in flows.names():
        _, text, path = flows.read(name)
        warm[name] = milliseconds(lambda text=text, path=path: load(text, path, Geometry()), repeats)
    cold = milliseconds(lambda: subprocess.run([VORTEX, "check", "quest"], check=True, capture_output=True), 5)
    for name, figures in warm.items():
        print(f"{name:20s} {figures['median_ms']:7.2f} ms, worst {figures['worst_ms']:7.2f}")
    print(f"{'cold vortex check':20s} {cold['median_ms']:7.0f} ms, worst {cold['worst_ms']:7.0f}")
    print(record("static_check", 1, {"warm": warm, "cold_vortex_check": cold}))


if __name__ == "__main__":
    main()
