"""Holds drawn budget policies against the machine's C compiler: the same text, compiled and evaluated here, five rows each."""
import argparse
import ctypes
import random
import subprocess
import tempfile
from pathlib import Path

from machine import record

from vortex.budget import read_policy
from vortex.errors import BudgetError
from vortex.policy import INPUTS

FLAGS = ("-O0", "-ffp-contract=off", "-w", "-shared", "-fPIC")
HEADER = ", ".join(f"{kind} {name}" for name, kind in INPUTS.items())
LEAVES = (*INPUTS, "1", "7", "-3", "0x1F", "010", "0.1f", "2.5f", "1e3f", "0.1", "3.75")
FORMS = (
    "({a} + {b})", "({a} - {b})", "({a} * {b})", "({a} / {b})", "((int)({a}) % (int)({b}))", "({a} < {b})", "({a} >= {b})",
    "({a} == {b})", "({a} && {b})", "({a} || {b})", "({a} ? {b} : {c})", "(!{a})", "(-({a}))", "(int)({a})", "(float)({a})",
    "(double)({a})", "sqrtf({a})", "ceilf({a})", "floorf({a})", "fminf({a}, {b})", "fmaxf({a}, {b})", "sqrt((double)({a}))",
    "ceil((double)({a}))", "abs((int)({a}))",
)
BODY = "int x = {a}; float y = {b}; if ({c}) {{ double x = {d}; y += x; }} else x -= {e}; x *= 3; return x + y * {f};"


def expression(draw: random.Random, depth: int) -> str:
    if depth == 0 or draw.random() < 0.15:
        return draw.choice(LEAVES)
    return draw.choice(FORMS).format(**{name: expression(draw, depth - 1) for name in "abc"})


def policies(draw: random.Random, count: int) -> list[str]:
    return [BODY.format(**{name: expression(draw, 3) for name in "abcdef"}) if i % 2 else f"return {expression(draw, 4)};"
            for i in range(count)]


def compiled(texts: list[str], folder: Path) -> ctypes.CDLL:
    functions = [f"int policy_{i}({HEADER}) {{ {text} }}" for i, text in enumerate(texts)]
    (folder / "policies.c").write_text("\n".join(["#include <math.h>", "#include <stdlib.h>", *functions]))
    subprocess.run(["cc", *FLAGS, "-o", "policies.so", "policies.c", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "policies.so"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    texts = policies(draw, options.policies)
    rows = [(draw.randint(1, 3000), draw.randint(0, 64), draw.random(), draw.randint(0, 3), draw.randint(1, 4)) for _ in range(5)]
    counts = {"same": 0, "different": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(texts, Path(folder))
        for i, text in enumerate(texts):
            function = library[f"policy_{i}"]
            function.argtypes = [{"int": ctypes.c_int, "float": ctypes.c_float}[kind] for kind in INPUTS.values()]
            for row in rows:
                try:
                    ours = read_policy(text)(**dict(zip(INPUTS, row, strict=True)))
                except BudgetError:                      # what C leaves open
                    counts["refused"] += 1
                    continue
                same = ours == function(*row)
                counts["same" if same else "different"] += 1
                if not same:
                    print(f"{ours} here, {function(*row)} there: {row} {text}")
    print(counts, record("policy_in_c", options.seed, counts), sep="\n")


if __name__ == "__main__":
    main()
