"""`vortex trace capture`: queries, keys and values of dense runs on disk; `vortex trace profile`: where their attention lies."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.bar import bar_of
from agent.cli.options import Json, Thinking
from agent.cli.text import to_json
from agent.cli.trace_text import captured_text, profile_text, size_text
from evaluator.tasks.parts import RANGE
from evaluator.tasks.reader import Reader
from evaluator.traces.prompts import SEED, WINDOW, Prompt, Steps, fingerprints, prompts_of
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import PointError

if TYPE_CHECKING:
    from evaluator.traces.profile import FlowProfile
    from evaluator.traces.proxies import Traces
    from evaluator.traces.store import Manifest

group = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
RATIOS = [0.0625, 0.125, 0.25]


@group.command("capture", short_help="Run a model densely and keep what its attention saw.")
def capture(  # noqa: PLR0913  # an option each
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    task: Annotated[list[str], typer.Option(help="A task, as campaigns name them; repeatable.")],
    model: Annotated[str, typer.Option(help="A shipped model, a folder, or a Hugging Face id.")],
    samples: Annotated[int, typer.Option(min=1, help="Prompts of each task.")] = 4,
    steps: Annotated[str, typer.Option(help="Decode steps of an answer that are captured: a number, or `every`.")] = "3",
    window: Annotated[int, typer.Option(min=3, help="Tokens of an answer that are followed.")] = WINDOW,
    seed: Annotated[int, typer.Option(min=0, max=RANGE - 1, help="Of the prompts.")] = SEED,
    thinking: Thinking = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the traces in the folder.")] = False,
    json: Json = False,
) -> None:
    """Decode prompts of TASKs densely and write, of a few late steps of each answer, the queries of every layer after the rotary
    embedding with the keys and values before them, and the next-token probabilities of every step.

    The size is told before anything runs. An answer of fewer than three tokens leaves no trace.
    """
    wanted = _steps(steps)
    point = OperatingPoint(model=model)
    reader = Reader.of(point, thinking)
    prompts = prompts_of(task, seed, samples, reader, window)

    from evaluator.traces import store  # torch: seconds that a refusal above does without
    from vortex.serving.checkpoint import find_checkpoint

    store.check_free(to, force)
    lengths = [reader.count(prompt.text) for prompt in prompts]
    expected = store.expected_bytes(find_checkpoint(model).shape, prompts, lengths, wanted)
    store.check_room(to, expected)
    if not json:
        print(size_text(len(prompts), expected, to), flush=True)
    manifest = store.Manifest(model=model, engine=point.engine, tasks=fingerprints(task), seed=seed, steps=wanted,
                              fingerprint=store.fingerprint(model, point.engine, prompts, wanted), versions=store.versions(),
                              thinking=thinking)
    _write(to, manifest, point, prompts, json)
    written = store.read_manifest(to)
    print(to_json(written.__dict__) if json else captured_text(written, len(prompts), to))


def _write(to: Path, manifest: "Manifest", point: OperatingPoint, prompts: list[Prompt], json: bool) -> None:
    from evaluator.traces import store
    from evaluator.traces.capture import capture as captured
    from vortex.serving import make_engine

    engine = make_engine(point.engine)
    engine.start(point.model)
    try:
        with bar_of(json, len(prompts)) as bar:
            for one in store.write(to, manifest, captured(engine, point, prompts, manifest.steps)):
                if bar is not None:
                    bar.update(bar.task_ids[0], advance=1, description=one.id)
    finally:
        engine.stop()


@group.command("profile", short_help="Where the attention of captured runs lies, and what flows attend of it.")
def profile(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `vortex trace capture` wrote.")],
    flow: Annotated[list[str] | None, typer.Option(help="A file, or a built-in flow; repeatable.")] = None,
    ratio: Annotated[list[float] | None, typer.Option(help="Share of blocks attended; repeatable.")] = None,
    block_size: Annotated[int, typer.Option(min=1, help="Tokens a block.")] = 16,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG).")] = None,
    json: Json = False,
) -> None:
    """The sink share (mass in the first block), the most mass that each RATIO of the blocks can hold by layer and kv head, and
    of each FLOW the mass, the recall and the output error at that ratio, with its worst head."""
    from evaluator.traces import profile as profiles  # torch, as above
    from evaluator.traces import store
    from evaluator.traces.proxies import Traces

    manifest, trajectories = store.read(folder)
    if not trajectories:
        raise PointError(f"{folder} holds no trace: no answer had three tokens", hint="Capture tasks with longer answers.")
    points = [OperatingPoint(model=manifest.model, block_size=block_size, topk_ratio=share) for share in ratio or RATIOS]
    traces = Traces(trajectories, block_size)
    found = {(name, at.topk_ratio): _profiled(traces, name, at) for at in points for name in flow or ()}
    best = {at.topk_ratio: profiles.best_mass(traces, at) for at in points}
    sinks = profiles.sink(traces)
    if plot is not None:
        from search.plot_traces import draw_heads  # matplotlib takes a second

        panels = {"sink share": sinks.values, **{f"most mass at {share:g}": one.values for share, one in best.items()},
                  **{f"{name} at {share:g}: mass": one.mass.values for (name, share), one in found.items()}}
        draw_heads(panels, f"{manifest.model}, {len(trajectories)} trajectories", plot)
    if json:
        print(to_json(profiles.profile_json(len(trajectories), sinks, best, found)))
    else:
        print(profile_text(manifest, len(trajectories), sinks, best, found) + (f"\nplot: {plot}" if plot else ""))


def _profiled(traces: "Traces", flow: str, point: OperatingPoint) -> "FlowProfile":
    from evaluator.traces.profile import flow_profile

    _, text, path = flows.read(flow)
    graph = load(text, path, traces.geometry)
    return flow_profile(traces, graph, point.with_(**{**flows.settings(path), "topk_ratio": point.topk_ratio}))


def _steps(text: str) -> Steps:
    if text == "every":
        return "every"
    if not text.isdecimal() or not int(text):
        raise PointError(f"--steps {text}", hint="A number from 1, or `every`.")
    return int(text)
