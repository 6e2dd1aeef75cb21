"""The `vortex` command: its table of commands, and the one place where a refusal becomes a message and an exit code."""
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import typer

from agent.models.keys import kept_apart
from vortex.errors import MissingExtra, VortexError

COMMANDS = {
    "run": "Run a campaign, or go on with it where it stood.",
    "resume": "Go on with a campaign of the archive, by its name.",
    "status": "What campaigns there are and how far they are.",
    "estimate": "What a campaign's language models will cost, before it is run.",
    "calls": "The calls of language models: what was said, and what it cost.",
    "frontier": "The candidates that no other beats, with their intervals.",
    "confirm": "Run the best again on problems that the search never saw; the last exam.",
    "show": "One candidate: source, report, lineage.",
    "why": "Why a candidate is, or is not, on the frontier.",
    "notebook": "What a campaign learned: hypotheses with verdicts, what failed, what is open.",
    "innovate": "New ideas of a language model that compile; nothing is measured.",
    "eval": "Judge one flow beside the controls.",
    "export": "Write a candidate into a folder to take home.",
    "verify": "Rerun an exported candidate here and compare with its manifest.",
    "serve": "Serve a model over HTTP, OpenAI-compatible, decoding with a flow (SGLang).",
    "swap": "Give a running server another flow, or none.",
    "check": "Check flows and submissions: nothing is run, a second at most.",
    "same": "Are two flows one algorithm?",
    "compile": "A flow's kernels and their machine code for GPUs, without a GPU.",
    "cost": "What a decode step costs on a GPU by arithmetic, and from which context on a flow pays.",
    "flows": "The built-in flows; or the source of one.",
    "ops": "The words of the language; or one of them.",
    "tasks": "The tasks that can be asked of a model; or a problem of one.",
    "calibrate": "The parameter file of a flow that needs a model's own numbers.",
    "prompt": "What a language model would be told now.",
    "mcp": "Serve a campaign's tools to a coding agent (Model Context Protocol).",
    "trace": "What attention saw in dense runs: captured, and profiled.",
    "bench": "A server under load, and decode steps over batch and context: dense against a flow.",
    "doctor": "What is installed and usable here.",
}
GROUPS = ("bench", "trace")              # of commands below them


def application(wanted: str) -> typer.Typer:
    """All commands by name; only the wanted one is imported, so that help and checks answer at once."""
    app = typer.Typer(name="vortex", help="Discovers sparse-attention algorithms: proposes, checks, measures, keeps the best.",
                      no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_nothing)
    for name, summary in COMMANDS.items():
        if name == wanted and name in GROUPS:
            app.add_typer(importlib.import_module(f"agent.cli.{name}").group, name=name, help=summary)
            continue
        function = importlib.import_module(f"agent.cli.{name}").command if name == wanted else _nothing
        app.command(name, short_help=summary)(function)
    return app


def _nothing() -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command. Refusals go to stderr (as JSON with --json) and end with their exit code, 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    wanted = next((word for word in words if not word.startswith("-")), "")
    try:
        with kept_apart():
            application(wanted)(words, prog_name="vortex")
    except VortexError as error:
        _refuse(error, words)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if not library or (Path(__file__).parents[2] / library).exists():
            raise                         # one of our own: a fault of ours
        _refuse(MissingExtra(f"{library} is not installed", hint='pip install "vortex-platform[eval]"'), words)
    except KeyboardInterrupt:
        print("stopped; what was written stays", file=sys.stderr)
        sys.exit(130)


def _refuse(error: VortexError, words: Sequence[str]) -> NoReturn:
    print(json.dumps(error.to_json()) if "--json" in words else error.report(), file=sys.stderr)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
