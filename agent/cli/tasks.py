"""`vortex tasks`: what can be asked of a model, or one rendered problem of a task."""
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.cli.options import Json, Thinking
from agent.cli.text import columns, to_json
from evaluator.tasks.door import find_task
from evaluator.tasks.listed import listed
from evaluator.tasks.parts import RANGE
from evaluator.tasks.reader import Reader
from evaluator.tasks.task import Sample, TaskSet
from vortex.errors import CampaignError

HEAD, TAIL = 240, 160                 # characters of a long prompt that are shown


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show a problem of this one.")] = None,
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template write the prompt.")] = "probe",
    thinking: Thinking = None,
    seed: Annotated[int, typer.Option(min=0, max=RANGE - 1, help="Of the problems.")] = 20_000,
    index: Annotated[int, typer.Option(min=0, help="Which problem of this seed.")] = 0,
    answer: Annotated[bool, typer.Option("--answer", help="Show the answer as well.")] = False,
    json: Json = False,
) -> None:
    """What campaigns can ask of a model: tasks by name, or one problem of a task as the model would read it."""
    if name is None:
        rows = list(listed())
        print(to_json([{"name": one, "summary": summary} for one, summary in rows]) if json else columns(rows))
        return
    task, reader = find_task(name), Reader(model, "sglang", thinking)
    samples = task.samples(seed, index + 1, reader)
    if index >= len(samples):
        raise CampaignError(f"{name} has {len(samples)} problems for this seed", hint=f"--index is 0 to {len(samples) - 1}.")
    told = _told(task, samples[index], reader, answer)
    print(to_json(told) if json else _text(told))


def _told(task: TaskSet, sample: Sample, reader: Reader, answer: bool) -> dict[str, Any]:
    shown = {"answers": list(sample.answers or (sample.answer,))} if answer else {}
    return {"task": task.name, "id": sample.id, "fingerprint": task.fingerprint(), "prompt": sample.prompt,
            "prompt_tokens": reader.count(sample.prompt), "max_new_tokens": sample.max_new_tokens,
            "facts": dict(sample.facts), **shown}


def _text(told: Mapping[str, Any]) -> str:
    prompt: str = told["prompt"]
    left_out = len(prompt) - HEAD - TAIL
    shown = prompt if left_out <= 0 else f"{prompt[:HEAD]}\n[... {left_out:,} letters ...]\n{prompt[-TAIL:]}"
    rows = [("problem", told["id"]), ("contents", told["fingerprint"]),
            ("tokens", f"{told['prompt_tokens']:,} of the prompt, at most {told['max_new_tokens']:,} new ones")]
    rows += [("facts", ", ".join(f"{key} {value}" for key, value in told["facts"].items()))] if told["facts"] else []
    rows += [("answer", " | ".join(told["answers"]))] if "answers" in told else []
    return f"{columns(rows)}\n\n{shown}"
