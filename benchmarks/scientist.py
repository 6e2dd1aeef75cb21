"""A scripted scientist of 20 rounds, from the command line to the frontier, killed and resumed on the way.

Records what the platform itself takes a round: the loop (select, record, tell), what it learns, and the conversation with
its tools. Evaluation is apart, and with it the child processes in which tools load flows. The model is a file of answers.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import record

ROOT = Path(__file__).parent.parent
FLOW = '''from vortex import ops, register, vFlow


@register("mix {n}")
class Mix(vFlow):
    def forward_cache(self, cache):
        cache["mean"] = cache["k"].mean(dim=1)
        cache["peak"] = cache["k"].max(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk((q @ cache["mean"].T).max(dim=1) + {share} * (q * cache["peak"]).sum(dim=2).max(dim=1))
'''
CAMPAIGN = '''[campaign]
name     = "bench"
seed     = 3
controls = ["dense", "quest"]
[budget]
candidates = {rounds}
minutes    = 60
round_size = 1
[point]
model      = "probe"
topk_ratio = [0.125, 0.25]
[[proposer]]
kind  = "scientist"
model = "scripted:{script}"
[[stage]]
name = "static"
[[stage]]
name    = "retrieval"
tasks   = ["multikey-512-full"]
samples = 4
[[stage]]
name    = "speed"
batch   = 2
context = 1024
steps   = 2
warmup  = 1
repeats = 3
'''


def said(tool: str, /, **arguments: object) -> dict[str, object]:
    return {"name": tool, "arguments": arguments}


def script(rounds: int) -> str:
    """Four turns a round: look, draft, compare, submit."""
    lines: list[dict[str, object]] = []
    for n in range(1, rounds + 1):
        lines += [
            {"thinking": "What is known?", "calls": [said("frontier"), said("notebook"), said("query", sort="-accuracy")]},
            {"text": "A draft.", "calls": [said("draft", name=f"mix {n}", source=FLOW.format(n=n, share=n / 16))]},
            {"calls": [said("cost", flow=f"mix {n}"), said("same", a=f"mix {n}", b="quest")]},
            {"calls": [said("submit", name=f"mean and {n / 16} peak", source=f"mix {n}", mechanism="Peaks beside means.",
                            prediction=[["accuracy", "up", 0.02]], refuted_by="no gain")]}]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kill-after", type=int, default=None, help="candidates; the middle without it")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vortex-scientist-") as room:
        found = measured(Path(room), options.rounds, options.kill_after or options.rounds // 2)
    print(json.dumps(found, indent=2))
    if options.write:
        print(record("scientist", 1, found))
    return 0 if found["as_it_should_be"] else 1


def measured(room: Path, rounds: int, kill_after: int) -> dict[str, object]:
    (room / "answers.jsonl").write_text(script(rounds))
    (room / "bench.toml").write_text(CAMPAIGN.format(rounds=rounds, script=room / "answers.jsonl"))
    words = [sys.executable, "-m", "agent.cli.main"]
    db = room / "results.db"
    start = time.monotonic()
    process = subprocess.Popen([*words, "run", room / "bench.toml", "--json", "--db", db], stdout=subprocess.PIPE, text=True,
                               cwd=ROOT)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "candidate_started" and event["round"] == kill_after:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*words, "resume", "bench", "--quiet", "--db", db], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return told(db, rounds, rounds - kill_after + 1, time.monotonic() - start)


def told(db: Path, rounds: int, resumed: int, wall_s: float) -> dict[str, object]:
    """Times are those of the second run, which tells of them at its end; `resumed` rounds were its own."""
    from search.store.archive import open_archive

    archive = open_archive(db)
    calls = archive.ledger("bench").calls()
    candidates = [one for one in archive.candidates("bench") if one.round > 0]
    shares = next(event.data for event in reversed(archive.events("bench")) if event.kind == "time")
    archive.close()
    own_s = sum(shares.get(part, 0.0) for part in ("loop", "recording", "learning")) / resumed
    turns = [one.key for one in calls]
    return {
        "rounds": rounds, "candidates": len(candidates), "calls": len(calls), "wall_s": round(wall_s, 1),
        "own_ms_a_round": round(1000 * own_s, 1), "proposing_ms_a_round": round(1000 * shares["proposing"] / resumed, 1),
        "overhead_ms_a_round": round(1000 * (own_s + shares["proposing"] / resumed), 1),
        "evaluating_s": round(shares["evaluating"], 1), "median_call_ms": 1000 * statistics.median(c.seconds for c in calls),
        "turns_paid_twice": len(turns) - len(set(turns)),
        "as_it_should_be": len(candidates) == rounds and len(turns) == len(set(turns)) == 4 * rounds,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
