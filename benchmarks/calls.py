"""Asks a model 1,000 times over each protocol, through the real SDKs and the ledger, while a loopback provider fails a fifth.

Every answer must be kept once and every token counted; a second run of the same calls must ask nothing.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

from machine import record

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.models.asking import KEY, NAMES
from tests.models.storm import PRICES, storm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--faults", type=float, default=0.2, help="share of requests that fail")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        prices = Path(folder) / "prices.toml"
        prices.write_text(PRICES)
        os.environ.update(VORTEX_PRICES=str(prices), ANTHROPIC_API_KEY=KEY, OPENAI_API_KEY=KEY, NO_PROXY="127.0.0.1")
        for name in NAMES:
            found[name] = storm(name, options.calls, options.faults, Path(folder) / f"{name.replace(':', '-')}.db")
            print(name, found[name], flush=True)
    print(record("calls", 1, found))


if __name__ == "__main__":
    main()
