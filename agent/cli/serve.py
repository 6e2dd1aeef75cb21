"""`vortex serve MODEL --flow F`: SGLang's OpenAI-compatible server, decoding sparsely; `--list`: the servers that run."""
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from agent.cli.options import Json
from agent.cli.served import Bundle, Changes, Flow, Point, Served, served
from agent.cli.text import columns, to_json, to_json_line
from agent.stop import Stop
from search.words import bytes_text
from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.control import Control
from vortex.serving.sglang.python import find_python
from vortex.serving.sglang.running import Running, own_folder, register, running
from vortex.serving.sglang.server import POLL_S, Launch, Server, attention_ranks, free_port
from vortex.serving.sglang.settings import Settings

LISTENED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 30.0
QUEST = 1 / 16                        # what its summaries take of the KV cache's memory: room for most flows


def command(  # noqa: PLR0913  # an option each
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A shipped name, a folder, or a Hugging Face id.")] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="-- ARGUMENTS", help="Arguments for SGLang's server.")] = None,
    flow: Flow = None,
    bundle: Bundle = None,
    point: Point = None,
    set: Changes = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 30000,
    served_model_name: Annotated[str, typer.Option(help="What clients call the model; by default MODEL.")] = "",
    tp: Annotated[int, typer.Option(min=1, help="GPUs that share the kv heads.")] = 1,
    reserve: Annotated[float | None, typer.Option(min=0.0, max=1.0, metavar="SHARE",
                                                  help="Memory for flows swapped in later, of the KV cache's.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show SGLang's log as it is written.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="The servers of yours that run here.")] = False,
    owner: Annotated[int, typer.Option(min=0, hidden=True, help="The process that started this; it ends with that.")] = 0,
    json: Json = False,
) -> None:
    """Serve MODEL over HTTP in SGLang, OpenAI-compatible, and decode with a flow. Without --flow or --bundle: densely.

    Ctrl-C once lets requests in flight end, twice ends at once; nothing is left running. With --json one line says when the
    server answers.
    """
    if listing:
        print(to_json([asdict(one) for one in running()]) if json else _listed(running()))
        return
    if model is None:
        raise EngineError("no model is named", hint="vortex serve probe --flow quest")
    asked = served(model, flow, bundle, point, set or [], attention_ranks(tp, more or []))
    launch = Launch(python=find_python().path, path=asked.path, host=host, port=free_port(host, port), tp=tp,
                    name=served_model_name or model, settings=_settings(asked, reserve), more=tuple(more or ()))
    _serve(launch, asked, partial(_pass_time, verbose=verbose, owner=owner), json)


def _serve(launch: Launch, asked: Served, pass_time: Callable[[Server], None], json: bool) -> None:
    """Until it is asked to end. Raises EngineError when the server ends by itself."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=json)
    ending = partial(console.print, "\nrequests in flight may end; Ctrl-C again ends at once")
    with own_folder(launch.port) as folder, Stop(ending, LISTENED) as stop, Server(launch, folder) as server:
        wait = partial(pass_time, server)
        with console.status(f"starting {asked.model}; log: {server.log}"):
            while not stop.asked and not server.ready():
                wait()
        if not stop.asked:
            found = Running(host=launch.host, port=launch.port, model=asked.model, ranks=attention_ranks(launch.tp, launch.more),
                            pid=server.pid, folder=str(server.room), log=str(server.log))
            register(found, folder)
            _tell(found, asked, launch, json)
        while not stop.asked:
            wait()
        server.stop(wait=partial(time.sleep, POLL_S))
    console.print("stopped")


def _pass_time(server: Server, *, verbose: bool, owner: int) -> None:
    """Raises EngineError where the server has ended, KeyboardInterrupt where the owner has; with --verbose new lines of its log
    go to stderr."""
    if owner and os.getppid() != owner:
        raise KeyboardInterrupt
    if server.exit_code() is not None:
        raise server.explained()
    time.sleep(POLL_S)
    if verbose:
        sys.stderr.write(server.new_log())


def _settings(asked: Served, reserve: float | None) -> Settings:
    if reserve is None:
        reserve = QUEST if asked.graph is None else 0.0
    return Settings(graph=None if asked.graph is None else asked.graph.to_json(), point=asked.point, reserve=reserve)


def _tell(found: Running, asked: Served, launch: Launch, json: bool) -> None:
    facts = _facts(found.folder)
    if json:
        print(to_json_line({"event": "ready", "url": found.url, "model": launch.name, "flow": asked.name,
                            "point": asked.point.model_dump(mode="json"), "pid": found.pid, "folder": found.folder,
                            "log": found.log, **facts}), flush=True)
        return
    body = f'{{"model": "{launch.name}", "prompt": "Once upon a time", "max_tokens": 16}}'
    rows = [("serving", f"{launch.name} at {found.url}"), ("flow", asked.text)]
    if "index_bytes" in facts:
        rows.append(("summaries", bytes_text(facts["index_bytes"])))
    if "radix" in facts:
        rows.append(("prefix cache", "on" if facts["radix"] else "off: the flow keeps state of each request"))
    rows += [("log", found.log), ("metrics", f"{found.url}/metrics"),
             ("ask", f"curl {found.url}/v1/completions -H 'Content-Type: application/json' -d '{body}'"),
             ("swap", f"vortex swap {found.url} --flow {'quest' if asked.name != 'quest' else 'centroid'}"),
             ("stop", "Ctrl-C")]
    print(columns(rows), flush=True)


def _facts(folder: str) -> dict[str, Any]:
    """What the ranks say of memory and prefix cache; nothing where they do not answer."""
    try:
        told = Control(Path(folder)).ask({"do": "counters"}, timeout_s=PATIENCE_S)
    except VortexError:
        return {}
    return {"index_bytes": sum(rank["index_bytes"] for rank in told), "radix": all(rank["radix"] for rank in told)}


def _listed(found: list[Running]) -> str:
    if not found:
        return "no server of yours runs here; vortex serve MODEL --flow quest starts one"
    return columns([("server", "model", "pid", "log"),
                    *((one.url, one.model, str(one.pid), one.log) for one in found)])
