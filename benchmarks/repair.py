"""How far the edits that refusals propose mend the mistakes of models: `python benchmarks/repair.py`.

Every mistake of the corpus in tests/answers is mended by one function that only applies `fix`, at most four times. Writes
benchmarks/results/repair.json: the rate over all mistakes, by kind, how many edits it took, and what was left.
"""
import json
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from machine import record  # noqa: E402  # beside this file

from agent.answers import read_answer  # noqa: E402  # after the path
from agent.repair import MOST_EDITS  # noqa: E402
from tests.answers.written import cases, first_refusal, left  # noqa: E402


def main() -> None:
    begun = time.perf_counter()
    right, wrong = cases("right"), cases("wrong")
    ends = [(case, left(case)) for case in wrong]
    kinds = Counter(case.file for case in wrong)
    mended = Counter(case.file for case, error in ends if error is None)
    told = [first_refusal(case) for case in wrong]
    body = {
        "most_edits": MOST_EDITS, "mistakes": len(wrong), "mended": sum(mended.values()),
        "rate": round(sum(mended.values()) / len(wrong), 4),
        "by_kind": {kind: f"{mended[kind]}/{n}" for kind, n in kinds.items()},
        "refusals_with_a_fix": sum(error is not None and error.fix is not None for error in told),
        "left": {case.name: error.code for case, error in ends if error is not None},
        "correct_answers": len(right), "flows_in_them": sum(len(read_answer(case.answer)) for case in right),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    record("repair", 1, body)
    print(json.dumps(body, indent=1))


if __name__ == "__main__":
    main()
