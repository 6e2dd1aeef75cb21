"""SGLang's engine with a flow, run by SGLang's own Python: `offline.py JOB ANSWERS`, both JSON.

JOB: {"model": path, "refused": [arguments, ...], "engine": arguments, "asks": {"input_ids", "sampling_params"}}.
ANSWERS: {"refused": [[code, message], ...], "tokens": [[token ids, ...], ...]}; all engines of one process.
"""
import json
import sys
from pathlib import Path

from vortex.errors import VortexError
from vortex.serving.sglang.offline import Engine


def main() -> None:
    job, answers = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    refused = []
    for arguments in job["refused"]:
        try:
            Engine(job["model"], **job["engine"] | arguments)
        except VortexError as error:
            refused.append([error.code, error.message])
    engine = Engine(job["model"], **job["engine"])
    told = engine.generate(**job["asks"])
    answers.write_text(json.dumps({"refused": refused, "tokens": [one["output_ids"] for one in told]}))
    engine.shutdown()


if __name__ == "__main__":
    main()
