"""Summarises a finished quickstart: how many were judged, how long each part took, what stands on the frontier."""
import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from machine import record

from search.store import open_archive

VORTEX = str(Path(sys.executable).with_name("vortex"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", default="results.db")
    parser.add_argument("--name", default="quickstart")
    args = parser.parse_args()
    archive = open_archive(args.db, create=False)
    candidates = [one for one in archive.candidates(args.name) if one.tier != "control"]
    reports = [archive.report(one) for one in candidates]
    stages = Counter(result.stage for report in reports for result in report.results)
    times = [event.data for event in archive.events(args.name) if event.kind == "time"]
    shown = subprocess.run([VORTEX, "frontier", args.name, "--db", args.db, "--format", "json"], check=True,
                           capture_output=True, text=True)
    results = {"judged": len(candidates), "ended": Counter(str(one.status) for one in candidates), "stages": stages,
               "time_s": times, "frontier": json.loads(shown.stdout)}
    print(record("quickstart", 1, results))


if __name__ == "__main__":
    main()
