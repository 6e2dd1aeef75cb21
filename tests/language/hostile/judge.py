"""Loads a hostile text in a watched child and says what came of it.

The child reports every audit event (files, processes, sockets, imports, compilation and execution of code) that our own
loading does not cause, anything that is not a refusal of ours, and any change to the objects that all flows share. The
parent kills a child that answers too late.
"""
import builtins
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATH = "hostile.py"
INSTEAD = "instead"
MEMORY_BYTES = 1 << 30
GIVE_UP_S = 20.0
HARMLESS = ("sys._getframe", "object.__getattr__", "object.__setattr__", "object.__delattr__", "builtins.id",
            "marshal.loads", "gc.")
PACKAGES = ("vortex", "numpy", "safetensors", "torch", "unicodedata")      # Python's parser takes the last by itself


@dataclass(frozen=True)
class Outcome:
    """`kind`: legal, refused, escape (with the event), leak (an error that is not ours), changed, crash or hang."""

    kind: str
    code: str = ""
    line: int = 0
    message: str = ""
    seconds: float = 0.0          # of the processor

    @property
    def bad(self) -> bool:
        return self.kind not in ("legal", "refused")


class Watch:
    """Collects audit events while a text is judged; the hook cannot be taken away again, so it lives in a child."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[str] = []
        self.on = False
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and not event.startswith(HARMLESS) and not self._ours(event, args):
            self.events.append(f"{event}{tuple(str(a)[:80] for a in args)}")

    def _ours(self, event: str, args: tuple[Any, ...]) -> bool:
        """Parsing the text, or an expression that we wrote; looking at our own package."""
        if event == "exec":
            return bool(args[0].co_filename == INSTEAD)
        if event == "compile":
            return args[1] in (PATH, "<unknown>", "<flow>")
        if event == "import":
            return str(args[0]).split(".")[0] in PACKAGES
        # Python looks for the file that a syntax error names.
        return event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith((self.root, PATH))


def _shared() -> dict[str, object]:
    """The objects that all flows share, by name."""
    from vortex import errors, ir
    from vortex.language import allowed, calls, evaluator, flow, guard, loader, members, modules, ops, standard, symbols, things
    from vortex.language.ops.record import OPS

    found: dict[str, object] = {f"OPS.{name}": op for name, op in OPS.items()}
    of: list[Any] = [flow.vFlow, flow.vFlowMLA, symbols.Value, symbols.Tape, guard.Guard, evaluator.Evaluator, things.Thing,
                     things.Instance, things.Class, builtins, errors, ir, allowed, calls, evaluator, flow, guard, loader,
                     members, modules, ops, standard, symbols, things]
    for thing in of:
        found |= {f"{thing.__name__}.{name}": value for name, value in vars(thing).items()}
    for module in modules.STANDING.values():
        found |= {f"{module.name}.{name}": value for name, value in module.names.items()}
    return found


def _changes(before: dict[str, object]) -> list[str]:
    after = _shared()
    kept = {name for name, value in before.items() if after.get(name, before) is value}
    return sorted(({*before} | {*after}) - kept)


def _worker(pipe: Connection, instead: str) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from vortex.compiler import front
    from vortex.ir import Geometry
    from vortex.language.flow import vFlow

    code = compile(instead, INSTEAD, "exec")
    watch = Watch(Path(front.__file__).parents[2])
    first = 'from vortex import ops, register, vFlow\n@register("x")\nclass X(vFlow):\n' \
            '    def forward_indexer(self, q, cache):\n        return ops.topk(ops.position() * 2.0)\n'
    front.load(first, PATH, Geometry())
    before = _shared()
    while True:
        text = pipe.recv()
        watch.events, watch.on = [], True
        outcome = _judged(lambda text=text: exec(code, {"vFlow": vFlow}) if instead else front.load(text, PATH, Geometry()))
        watch.on = False
        if watch.events:
            outcome = Outcome("escape", "", 0, "; ".join(watch.events[:5]), outcome.seconds)
        changes = _changes(before)
        if changes:
            outcome, before = Outcome("changed", "", 0, ", ".join(changes[:5]), outcome.seconds), _shared()
        pipe.send(outcome)


def _judged(load: Callable[[], object]) -> Outcome:
    from vortex.errors import FlowError, VortexError

    start = time.process_time()
    try:
        load()
        result = ("legal", "", 0, "")
    except FlowError as error:
        error.report()
        result = ("refused", error.code, error.where.line, error.message)
    except VortexError as error:
        result = ("leak", error.code, error.where.line, error.message)
    # The judge's whole task is to find what else can come out of a text.
    except BaseException as error:
        result = ("leak", type(error).__name__, 0, str(error)[:300])
    return Outcome(*result, seconds=time.process_time() - start)


class Judge:
    """A context in which texts are judged, one after the other; a child that died is replaced.

    With `instead` the child runs that code in place of every text, so that the judge itself can be tried.
    """

    def __init__(self, give_up_s: float = GIVE_UP_S, instead: str = "") -> None:
        self._give_up_s, self._instead = give_up_s, instead
        self._context = multiprocessing.get_context("spawn")
        self._child: Any = None

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *args: object) -> None:
        self._stop()

    def _start(self) -> None:
        self._pipe, there = self._context.Pipe()
        self._child = self._context.Process(target=_worker, args=(there, self._instead), daemon=True)
        self._child.start()
        there.close()

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()
            self._child = None

    def judge(self, text: str) -> Outcome:
        if self._child is None:
            self._start()
        self._pipe.send(text)
        try:
            if self._pipe.poll(self._give_up_s):
                outcome: Outcome = self._pipe.recv()
                return outcome
            outcome = Outcome("hang", seconds=self._give_up_s)
        except (EOFError, ConnectionResetError):
            self._child.join()
            outcome = Outcome("crash", f"exit {self._child.exitcode}")
        self._stop()
        return outcome
