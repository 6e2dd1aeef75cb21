"""`vortex calibrate FLOW`: the parameter file of a flow that needs numbers of the model it serves."""
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import Json
from agent.cli.text import to_json
from vortex import flows
from vortex.errors import FlowNotFound, PointError


def command(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="double-sparsity or loki.")],
    model: Annotated[str, typer.Option(help="A shipped model, a folder, or a Hugging Face id.")] = "probe",
    to: Annotated[Path | None, typer.Option(help="The folder to write; by default FLOW-MODEL here.")] = None,
    text: Annotated[Path | None, typer.Option(help="Prompts to calibrate on, one a line; else tasks of the probe.")] = None,
    prompts: Annotated[int, typer.Option(min=1, max=1024, help="How many prompts.")] = 16,
    json: Json = False,
) -> None:
    """Run MODEL densely on a few prompts and write FLOW with its parameter file, ready for check, eval and campaigns."""
    name = _calibrated_name(flow)
    _, source, path = flows.read(name)
    folder = to or Path(f"{name}-{Path(model).name}")
    lines = _prompts(text, prompts)

    from safetensors.torch import save  # seconds of imports that a refusal does without

    from evaluator.calibration import calibrated, observe
    from vortex.serving.embedded.engine import EmbeddedEngine

    engine = EmbeddedEngine()
    engine.start(model)
    try:
        tensors = calibrated(name, observe(engine, lines, block_size=16))
    finally:
        engine.stop()
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / Path(path).name, folder / Path(path).with_suffix(".safetensors").name]
    written[0].write_text(source)
    written[1].write_bytes(save(tensors))
    shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
    if json:
        print(to_json({"flow": str(written[0]), "parameters": str(written[1]), "tensors": shapes}))
    else:
        print(f"{written[0]}\n{written[1]}  {shapes}\ntry: vortex check {written[0]} --model {model}")


def _calibrated_name(flow: str) -> str:
    if flow.replace("_", "-") not in flows.CALIBRATED:
        raise FlowNotFound(f"{flow} is not a flow that is calibrated", hint=f"Those are: {', '.join(flows.CALIBRATED)}.")
    return flow.replace("_", "-")


def _prompts(text: Path | None, count: int) -> list[str]:
    if text is None:
        from evaluator.tasks.registry import preset

        return [sample.prompt for sample in preset("multikey-1k-full").samples(50_000, count)]
    try:
        lines = [line for line in text.read_text().splitlines() if line.strip()][:count]
    except (OSError, UnicodeDecodeError) as error:
        raise PointError(f"cannot read {text}: {error}") from error
    if not lines:
        raise PointError(f"{text} holds no line of text")
    return lines
