"""Loads hostile texts by the thousand and counts what comes of them: none may do more than be refused, within a second.

The written attempts and bombs of tests/language/hostile come first, then random and mutated texts of one seed.
"""
import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from machine import record

ROOT = Path(__file__).parent.parent
LONGEST_S = 1.0


def texts(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """(name, text): everything that is written down, and as many random texts as `count` leaves."""
    from tests.language.hostile.bombs import bombs
    from tests.language.hostile.corpus import attempts
    from tests.language.hostile.mutate import Mutator

    written = [*((attempt.title, attempt.text) for attempt in attempts()), *bombs()]
    mutator = Mutator(seed)
    drawn = ((f"seed {seed}, text {number}", mutator.text()) for number in range(max(0, count - len(written))))
    return chain(written[:count], drawn)


def main() -> None:
    from tests.language.hostile.judge import Judge

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--kept", type=Path, help="Keep texts that did more than they may in this folder.")
    given = parser.parse_args()
    outcomes, wrong = [], []
    start = time.perf_counter()
    with Judge() as judge:
        for name, text in texts(given.texts, given.seed):
            outcome = judge.judge(text)
            outcomes.append((outcome.seconds, name, outcome))
            if outcome.bad or outcome.seconds >= LONGEST_S:
                wrong.append((name, outcome))
                print(f"{name}: {outcome}")
                if given.kept is not None:
                    given.kept.mkdir(parents=True, exist_ok=True)
                    (given.kept / f"{len(wrong)}.py").write_text(text, errors="surrogatepass")
    slowest = [{"text": name, "cpu_s": round(seconds, 3), "kind": outcome.kind, "code": outcome.code}
               for seconds, name, outcome in sorted(outcomes, key=lambda one: -one[0])[:10]]
    results = {
        "texts": len(outcomes), "seed": given.seed, "wall_s": round(time.perf_counter() - start, 1),
        "did_more_than_they_may": len(wrong), "kinds": dict(Counter(outcome.kind for _, _, outcome in outcomes)),
        "codes": dict(Counter(outcome.code or "legal" for _, _, outcome in outcomes).most_common()), "slowest": slowest,
    }
    print(results)
    if given.texts >= 20_000:
        print(record("fuzz", 1, results))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
