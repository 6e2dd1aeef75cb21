"""`vortex bench serve`: a server under load, dense against a flow; `vortex bench decode`: decode steps over batch and context."""
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, TypeAlias

import typer
from rich.progress import Progress

from agent.cli.bar import bar_of
from agent.cli.bench_server import is_address, running, serving
from agent.cli.bench_text import grid_record, grid_text, load_record, load_text, rate_text
from agent.cli.cost import numbers
from agent.cli.options import Json
from agent.cli.served import Bundle, Changes, Flow, Point, Served, checkpoint_of, served
from agent.cli.text import to_json
from vortex.errors import EngineError, PointError
from vortex.ir import Graph
from vortex.serving import make_engine
from vortex.serving.engine import Engine
from vortex.serving.load.compare import Side, order
from vortex.serving.load.duel import Duel
from vortex.serving.load.grid import DENSE, Cell, measure
from vortex.serving.load.latency import Slo
from vortex.serving.load.traffic import Traffic

group = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
INFINITE = float("inf")
Rounds: TypeAlias = Annotated[int, typer.Option(min=1, help="Turns of the flow; one more of dense.")]
Plot: TypeAlias = Annotated[Path | None, typer.Option(help="Write a picture (PNG).")]
SPARE = 128                               # tokens a request: warm steps, and pages that are not full


@group.command("serve", short_help="A server under load: latencies, throughput and goodput, dense against a flow.")
def serve(  # noqa: PLR0913  # an option each
    target: Annotated[str, typer.Argument(metavar="URL|MODEL", help="A server of `vortex serve`, or a model to serve for this.")],
    flow: Flow = None,
    bundle: Bundle = None,
    point: Point = None,
    set: Changes = None,
    rate: Annotated[float, typer.Option(help="Requests a second, Poisson; inf: all at once.")] = 2.0,
    requests: Annotated[int, typer.Option(min=1, help="Of each turn.")] = 64,
    prompt_tokens: Annotated[str, typer.Option(metavar="A:B", help="Lengths of prompts, drawn evenly.")] = "512:1024",
    output_tokens: Annotated[int, typer.Option(min=1, help="Of each request; ends of text are ignored.")] = 128,
    seed: Annotated[int, typer.Option(help="Of arrivals and prompts.")] = 0,
    slo_ttft: Annotated[float, typer.Option(metavar="S", help="Goodput: seconds to the first token.")] = INFINITE,
    slo_tpot: Annotated[float, typer.Option(metavar="S", help="Goodput: seconds a token after the first.")] = INFINITE,
    rounds: Rounds = 1,
    warm: Annotated[int, typer.Option(min=0, help="Requests before each turn that do not count.")] = 2,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Send the same load to one server in turns, dense, flow, dense, from a process of its own; the server is swapped, not
    restarted.

    Times count from when a request was due, whether or not the client came to send it in time. Each turn begins with an
    empty prefix cache. The two dense turns tell how steady the machine is.
    """
    def asked_of(model: str, ranks: int) -> tuple[Served, Graph, Traffic]:
        asked = served(model, flow, bundle, point, set or [], ranks)
        if asked.graph is None:
            raise EngineError("no flow is named", hint=f"vortex bench serve {target} --flow quest")
        vocabulary = checkpoint_of(model).shape.vocabulary
        return asked, asked.graph, Traffic(rate=rate, requests=requests, prompt_tokens=_range(prompt_tokens),
                                           output_tokens=output_tokens, vocabulary=vocabulary, seed=seed)

    _check_place(plot)
    if not is_address(target):
        asked_of(target, 1)               # what is refused is refused before a server is started
    with running(target) if is_address(target) else serving(target, point, set or []) as server:
        asked, graph, traffic = asked_of(server.model, server.ranks)
        duel = Duel(url=server.url, ask=server.ask, graph=graph, point=asked.point, traffic=traffic,
                    slo=Slo(ttft_s=slo_ttft, tpot_s=slo_tpot), rounds=rounds, warm=warm)
        with bar_of(json, requests * len(order(rounds))) as bar:
            def shown(turn: int, side: Side, ended: int) -> None:
                if bar is not None:
                    bar.update(bar.task_ids[0], completed=turn * requests + ended,
                               description=f"{asked.name if side == 'flow' else DENSE} {ended}/{requests}")

            with server.given_back_if_broken(asked.name):
                turns = duel.turns(shown)
        left = server.give_back(asked.name)
    if plot is not None:
        from search.plot import draw_load  # matplotlib takes a second

        names: dict[Side, str] = {"dense": DENSE, "flow": asked.name}
        sides = {name: [turn.observed for turn in turns if turn.side == side] for side, name in names.items()}
        draw_load(sides, f"{server.model}, {requests} requests {rate_text(rate)}", plot)
    print(to_json(load_record(server.url, asked, duel, turns)) if json else load_text(server, asked, duel, turns)
          + (f"\n{left}" if left else "") + (f"\nplot: {plot}" if plot else ""))


@group.command("decode", short_help="Decode steps of fixed length over batch and context, dense against flows.")
def decode(  # noqa: PLR0913  # an option each
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped name, a folder, or a Hugging Face id.")],
    flow: Annotated[list[str], typer.Option(help="A file, or the name of a built-in flow; repeatable.")],
    point: Point = None,
    set: Changes = None,
    engine: Annotated[str, typer.Option(help="sglang or embedded.")] = "sglang",
    batch: Annotated[str, typer.Option(help="Requests decoded at once.")] = "1,8",
    context: Annotated[str, typer.Option(help="Tokens a request: 4096 or 4k.")] = "1k,4k",
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of a round.")] = 16,
    rounds: Annotated[int, typer.Option(min=2, help="Of each side; all sides take turns.")] = 5,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Time forced decode on one engine, the flow swapped between rounds. Speed-ups are medians over rounds with intervals."""
    _check_place(plot)
    asked = {name: served(model, name, None, point, set or []) for name in flow}
    first = next(iter(asked.values()))
    at = {one.name: (one.graph, one.point.with_(engine=engine)) for one in asked.values()}
    sides = {DENSE: (None, first.point.with_(engine=engine)), **at}
    shapes = [(b, c) for b in numbers(batch, "--batch") for c in numbers(context, "--context")]
    started, cells = _engine(engine, shapes, steps), list[Cell]()
    try:
        started.start(model)
        with bar_of(json, len(shapes) * (rounds + 1) * len(sides)) as bar:
            for number, shape in enumerate(shapes):
                base = number * (rounds + 1) * len(sides)
                cells.append(measure(started, sides, shape, steps=steps, rounds=rounds, watch=partial(_step, bar, shape, base)))
    finally:
        started.stop()
    if plot is not None:
        from search.plot import draw_speedups  # as above

        draw_speedups(_lines(cells), f"{model} on {engine}", plot, how="measured")
    print(to_json(grid_record(model, engine, sides, cells)) if json else grid_text(model, engine, cells)
          + (f"\nplot: {plot}" if plot else ""))


def _check_place(plot: Path | None) -> None:
    """Before anything is measured for it. Raises EngineError."""
    if plot is not None and (plot.is_dir() or not plot.parent.is_dir()):
        raise EngineError(f"cannot write {plot}: {'it is a folder' if plot.is_dir() else f'there is no folder {plot.parent}'}",
                          hint="Give --plot another file.")


def _engine(name: str, shapes: Sequence[tuple[int, int]], steps: int) -> Engine:
    """With room for the largest cell."""
    if name != "sglang":
        return make_engine(name)
    from vortex.serving.sglang.engine import SglangEngine  # reads model configs, which takes a second
    from vortex.serving.sglang.options import SglangOptions

    room = max(batch * (context + steps + SPARE) for batch, context in shapes)
    return SglangEngine(SglangOptions(max_running_requests=max(batch for batch, _ in shapes), max_total_tokens=room))


def _step(bar: "Progress | None", shape: tuple[int, int], base: int, side: str, done: int) -> None:
    if bar is not None:
        bar.update(bar.task_ids[0], completed=base + done, description=f"batch {shape[0]}, context {shape[1]:,}: {side}")


def _lines(cells: Sequence[Cell]) -> Mapping[tuple[str, int], Sequence[tuple[int, float]]]:
    lines: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for cell in cells:
        for name in cell.step_s:
            if name != DENSE:
                lines.setdefault((name, cell.batch), []).append((cell.context, median(cell.ratios(name))))
    return lines




def _range(text: str) -> tuple[int, int]:
    """`512:1024`, or one number."""
    first, _, last = text.partition(":")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise PointError(f"--prompt-tokens {text}: two numbers with a colon are wanted",
                         hint="--prompt-tokens 512:1024") from None
