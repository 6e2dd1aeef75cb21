"""Kills a campaign at random moments and resumes it: nothing may be lost, doubled, or come out otherwise.

A first, unbroken run takes the speed timings down; the broken run replays them, so that candidates, their order and
their rows must equal the unbroken run's. With --live the broken run times anew: then no row that was finished before
a kill may be missing or changed after it, none may stand twice, and the campaign must end.
"""
import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

CANDIDATES = """
    select c.round, c.slot, c.name, f.hash, p.hash, c.status, c.duplicate_of, c.parents, c.hypothesis
    from candidates c join flows f on f.id = c.flow_id join points p on p.id = c.point_id order by c.round, c.slot"""
ROWS = "select r.candidate_id, r.stage, r.problem, r.repeat, r.score, r.exact from rows r order by r.id"
RESULTS = "select candidate_id, stage, status, code, metrics from stage_results order by candidate_id, id"


def command(campaign: str, db: Path, timings: Path | None) -> list[str]:
    words = [sys.executable, "-m", "agent.cli.main", "run", campaign, "--db", str(db), "--quiet"]
    return words + (["--timings", str(timings)] if timings is not None else [])


def read(db: Path, query: str) -> list[tuple[object, ...]]:
    """Rows of a query; none while the database is being made."""
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def run_until(words: list[str], db: Path, rows: int, delay_s: float) -> bool:
    """Runs until the archive holds `rows` rows and a moment more, then kills. False when the run ended before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while len(read(db, ROWS)) < rows:
        if ended(process, 0.01):
            return False
    if ended(process, delay_s):
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


def ended(process: "subprocess.Popen[bytes]", wait_s: float) -> bool:
    """Whether it ends within `wait_s`. Raises CalledProcessError when it ends badly."""
    try:
        code = process.wait(timeout=wait_s)
    except subprocess.TimeoutExpired:
        return False
    if code:
        raise subprocess.CalledProcessError(code, process.args)
    return True


def broken_run(words: list[str], db: Path, kills: int, total: int, rng: random.Random) -> list[str]:
    """Runs and kills at `kills` moments spread over the `total` rows, then lets it end. What was lost on the way."""
    faults: list[str] = []
    for number, rows in enumerate(sorted(rng.sample(range(1, total), kills)), start=1):
        if not run_until(words, db, rows, rng.choice((0.0, rng.uniform(0.0, 0.5)))):
            faults.append(f"kill {number}: the campaign ended before it")
            continue
        before = read(db, ROWS)
        print(f"kill {number} of {kills}: {len(before)} rows, {len(read(db, CANDIDATES))} candidates", flush=True)
    before = read(db, ROWS)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if read(db, ROWS)[:len(before)] != before:
        faults.append("rows that were finished before the last kill have changed")
    keys = [row[:4] for row in read(db, ROWS)]
    if len(set(keys)) != len(keys):
        faults.append("a row stands twice")
    if [state for (state,) in read(db, "select state from campaigns")] != ["finished"]:
        faults.append("the campaign did not end")
    return faults


def compared(one: Path, other: Path) -> list[str]:
    """What differs between two archives, but for times."""
    named = {"candidates": CANDIDATES, "rows": ROWS, "results": RESULTS}
    return [f"{name} differ" for name, query in named.items() if read(one, query) != read(other, query)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaign", default="smoke")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--live", action="store_true", help="take timings anew in the broken run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vortex-crash-") as room:
        whole, broken, timings = Path(room) / "whole.db", Path(room) / "broken.db", Path(room) / "timings.jsonl"
        subprocess.run(command(options.campaign, whole, timings), check=True, stdout=subprocess.DEVNULL)
        total = len(read(whole, ROWS))
        print(f"unbroken: {total} rows, {len(read(whole, CANDIDATES))} candidates", flush=True)
        words = command(options.campaign, broken, None if options.live else timings)
        faults = broken_run(words, broken, options.kills, total, random.Random(options.seed))
        if not options.live:
            faults += compared(whole, broken)
    print("\n".join(faults) or f"{options.kills} kills: nothing lost, nothing doubled"
          + ("" if options.live else ", all equal to the unbroken run"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
