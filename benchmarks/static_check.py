"""Times the static check in a warm process: every built-in flow, a flow of 200 ops, refused flows; and a cold `vortex check`."""
import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from machine import record

from vortex import flows
from vortex.compiler.front import load
from vortex.errors import FlowError
from vortex.ir import Geometry

VORTEX = str(Path(sys.executable).with_name("vortex"))
OPS = 200
GEOMETRY = Geometry(16, 64, 4)      # the shipped probe's heads: two built-in flows have parameters of its shape
WRONG = ("q.men(dim=1)", "torch.matmul(q, cache['k'].T)", "q @ cache['k']", "cache['centroid']", "q ** 2",
         "q if q > 0.0 else 1.0")


def text_of(ops: int) -> str:
    """A flow of at least this many ops, all different and all read."""
    lines = ["from vortex import ops, register, vFlow", '@register("long")', "class Long(vFlow):",
             "    def forward_indexer(self, q, cache):", '        score = (q @ cache["k"].T).max(dim=2).max(dim=1)']
    lines += [f"        score = ops.maximum(score * {1 + i / 7}, score.abs() + {i}.5)" for i in range(ops // 4)]
    return "\n".join([*lines, "        return ops.topk(score)\n"])


def wrong(expression: str) -> str:
    return text_of(4).replace("return ops.topk(score)", f"return ops.topk(score + ({expression}).max(dim=1))")


def refused(text: str) -> None:
    try:
        load(text, "wrong.py", GEOMETRY)
    except FlowError as error:
        error.report()
        return
    raise AssertionError(f"legal: {text}")


def milliseconds(action: Callable[[], object], repeats: int) -> dict[str, float]:
    action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": statistics.median(taken), "worst_ms": max(taken)}


def flows_a_second(repeats: int) -> float:
    """Built-in flows checked one after the other."""
    texts = [flows.read(name) for name in flows.names()]
    start = time.perf_counter()
    for _ in range(repeats):
        for _, text, path in texts:
            load(text, path, GEOMETRY)
    return len(texts) * repeats / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    warm = {}
    for name in flows.names():
        _, text, path = flows.read(name)
        warm[name] = milliseconds(lambda text=text, path=path: load(text, path, GEOMETRY), repeats)
    long = load(text_of(OPS), "long.py", GEOMETRY)
    assert len(long.indexer) >= OPS
    warm[f"a flow of {len(long.indexer)} ops"] = milliseconds(lambda: load(text_of(OPS), "long.py", GEOMETRY), repeats)
    for expression in WRONG:
        text = wrong(expression)
        warm[f"refused: {expression}"] = milliseconds(lambda text=text: refused(text), repeats)
    rate = flows_a_second(repeats)
    cold = milliseconds(lambda: subprocess.run([VORTEX, "check", "quest"], check=True, capture_output=True), 5)
    for name, figures in warm.items():
        print(f"{name:48s} {figures['median_ms']:7.2f} ms, worst {figures['worst_ms']:7.2f}")
    print(f"{'cold vortex check':48s} {cold['median_ms']:7.0f} ms, worst {cold['worst_ms']:7.0f}")
    print(f"{'flows a second':48s} {rate:7.0f}")
    print(record("static_check", 1, {"warm": warm, "cold_vortex_check": cold, "flows_a_second": rate}))


if __name__ == "__main__":
    main()
