"""Writes docs/reference/ops.md from the op records and docs/reference/cli.md from the commands' own help."""
from pathlib import Path

from typer.testing import CliRunner

import vortex.language.ops as ops  # noqa: F401  (fills the registry)
from agent.cli.main import application
from vortex.language.ops.prose import listed, tell
from vortex.language.ops.record import Op

HERE = Path(__file__).parent / "reference"
WIDTH = 78                            # what Click leaves of eighty
COMMANDS = ("run", "resume", "status", "estimate", "calls", "frontier", "confirm", "show", "why", "notebook", "innovate", "eval",
            "export", "verify", "serve", "swap", "check", "same", "compile", "cost", "flows", "ops", "tasks", "calibrate",
            "prompt", "mcp", "trace", "trace capture", "trace profile", "bench", "bench serve", "bench decode", "doctor")


def entry(op: Op) -> str:
    told = tell(op)
    rows = [("written", f"`{op.usage}`"), ("in", " and ".join(told["sides"])), ("shapes", "; ".join(told["shapes"])),
            ("upstream", "; ".join(f"`{one}`".replace(" is ", "` is `", 1) for one in told["upstream"]))]
    if told["operations"] or told["bytes"]:
        rows.append(("cost", f"{told['operations']} operations, {told['bytes']} bytes {told['per']}"))
    lines = "\n".join(f"- {name}: {text}" for name, text in rows if text)
    return f"### `{op.name}`\n\n{op.meaning}\n\n{lines}\n"


def ops_page() -> str:
    head = "# Ops\n\nGenerated from the op records by `make docs`. Values are `[lead, a, b]`: axis 1 is `a`, axis 2 is `b`. "\
           "A cost is that of the\nfirst shapes shown, of a kernel of its own in float32, for each block (or row). `upstream` "\
           "is the same written with\nthe op objects of the public `vortex_torch`.\n"
    return "\n".join([head, *(entry(op) for op in listed())])


def help_text(command: str) -> str:
    """As a terminal of eighty columns shows it."""
    words = [*command.split(), "--help"]
    done = CliRunner().invoke(application(words[0]), words, prog_name="vortex", terminal_width=WIDTH)
    return "\n".join(line.rstrip() for line in done.output.strip().splitlines())


def cli_page() -> str:
    parts = ["# Command line\n\nGenerated from the commands' own help by `make docs`.\n"]
    parts += [f"## vortex {name}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


PAGES = {"ops.md": ops_page, "cli.md": cli_page}


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
