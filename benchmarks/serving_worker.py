"""One engine of SGLang's, stock or with our plug-in, asked by lines of JSON: `python serving_worker.py ARGUMENTS.json`.

benchmarks/serving.py runs it in the Python that has SGLang. It knows nothing of flows: what it times is what a user of
SGLang's own engine would see.
"""
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, TextIO

FIRST_ID = 3


def prompts(asked: dict[str, Any]) -> list[list[int]]:
    """`count` of `context` ids below `vocabulary`; the same for the same seed."""
    drawn, ids = random.Random(asked["seed"]), range(FIRST_ID, asked["vocabulary"])
    return [drawn.choices(ids, k=asked["context"]) for _ in range(asked["count"])]


def answer(engine: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Seconds to generate `new` tokens of each prompt, all together, once the prompts are in the prefix cache."""
    ids = prompts(asked)
    engine.generate(input_ids=ids, sampling_params={"temperature": 0, "max_new_tokens": 1, "ignore_eos": True})
    began = time.perf_counter()
    found = engine.generate(input_ids=ids, sampling_params={"temperature": 0, "max_new_tokens": asked["new"], "ignore_eos": True})
    seconds = time.perf_counter() - began
    told = {"seconds": seconds, "cached": sum(one["meta_info"]["cached_tokens"] for one in found),
            "came": sum(one["meta_info"]["completion_tokens"] for one in found)}
    return {**told, "tokens": [one["output_ids"] for one in found]} if asked.get("tell") else told


def serve(arguments: dict[str, Any], out: TextIO) -> None:
    import sglang  # not in the processes that SGLang starts from this file

    def say(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=out, flush=True)

    began = time.perf_counter()
    engine = sglang.Engine(**arguments)
    say({"started_s": time.perf_counter() - began, "sglang": sglang.__version__})
    for line in sys.stdin:
        say(answer(engine, json.loads(line)))
    engine.shutdown()


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                         # what SGLang prints goes to the log
    serve(json.loads(Path(sys.argv[1]).read_text()), out)


if __name__ == "__main__":
    main()
