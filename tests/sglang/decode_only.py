"""A decode server whose prompts SGLang's fake transfer brings, run by SGLang's own Python: `decode_only.py JOB ANSWERS`, JSON.

JOB: {"model", "engine": arguments, "first": prompts, "second": prompts, "new": tokens}: ids all. Summaries are wiped before the
first prompts, and again once the second ones decode. ANSWERS: {"tokens": [...], "first": audit, "second": audit}.
"""
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from vortex.serving.sglang.offline import Engine

FAKE_HOST = "2.2.2.2"                     # where SGLang takes a transfer for made-up


def asked(engine: Any, **request: Any) -> Any:
    """The only rank's answer."""
    with tempfile.TemporaryDirectory() as folder:
        engine.collective_rpc("vortex", request=json.dumps(request), folder=folder)
        return json.loads((Path(folder) / "0.json").read_text())


async def wiped_midway(engine: Any, sampling: Any, prompts: list[list[int]]) -> None:
    async def one(prompt: list[int]) -> None:
        stream = await engine.async_generate(input_ids=prompt, sampling_params=sampling, bootstrap_host=FAKE_HOST, stream=True)
        decoded = 0
        async for _ in stream:
            decoded += 1
            if decoded == 3 and prompt is prompts[0]:
                await asyncio.to_thread(asked, engine, do="wipe")

    await asyncio.gather(*map(one, prompts))


def main() -> None:
    job, answers = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    engine = Engine(job["model"], **job["engine"])
    sampling = {"max_new_tokens": job["new"], "temperature": 0, "ignore_eos": True}
    asked(engine, do="wipe")
    asked(engine, do="audit", on=True)
    told = engine.generate(input_ids=job["first"], sampling_params=sampling, bootstrap_host=[FAKE_HOST] * len(job["first"]))
    first = asked(engine, do="audit", on=True)
    longer = {**sampling, "max_new_tokens": 5 * job["new"]}               # the wipe comes while they decode, however slow this is
    engine.loop.run_until_complete(wiped_midway(engine, longer, job["second"]))
    second = asked(engine, do="audit", on=False)
    answers.write_text(json.dumps({"tokens": [one["output_ids"] for one in told], "first": first, "second": second}))
    engine.shutdown()


if __name__ == "__main__":
    main()
