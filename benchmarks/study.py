"""The proxy study: how well cheap figures rank flows against the real tasks.

    python benchmarks/study.py record     # rows of all flows on the real tasks; goes on where it stood
    python benchmarks/study.py speed      # decode speeds of the same flows; on a quiet machine
    python benchmarks/study.py equal      # the same at the bytes of the control
    python benchmarks/study.py proxies    # the cheap figures of the same flows
    python benchmarks/study.py rank       # how well these rank those: docs/proxies.md and its pictures
"""
import argparse

import torch
from study_flows import EVOLVED, record, record_equal, record_speed
from study_page import write_page
from study_proxies import measure_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "speed", "equal", "proxies", "rank"))
    parser.add_argument("--evolved", type=int, default=EVOLVED, help="how many evolved flows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "record":
        record(wanted=options.evolved)
    elif options.what == "speed":
        record_speed()
    elif options.what == "equal":
        record_equal()
    elif options.what == "proxies":
        measure_all()
    else:
        print(write_page())


if __name__ == "__main__":
    main()
