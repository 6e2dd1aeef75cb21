"""How many of the flows that are the same but written otherwise are recognised, by kind of edit: `same.py [FLOWS]`.

Also holds every pair of flow and near miss that share a hash to select alike on random numbers.
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.compiler.sameness import near_misses, select_alike, tally

NEEDED = 0.95


def main() -> None:
    flows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    began = time.perf_counter()
    found = tally(range(flows))
    seconds = time.perf_counter() - began
    print(found.table())
    pairs = sum(found.tried.values())
    print(f"{flows} flows, {pairs} pairs, {1000 * seconds / (2 * pairs):.1f} ms a flow with the edit")
    shared, wrong = 0, []
    for kind, graph, other, same in near_misses(range(flows)):
        shared += same
        if same and not select_alike(graph, other, range(2)):
            wrong.append(kind)
    print(f"{shared} near misses share a hash with their flow; {len(wrong)} of them select other blocks {wrong[:5] or ''}")
    sys.exit(found.share < NEEDED or bool(wrong))


if __name__ == "__main__":
    main()
