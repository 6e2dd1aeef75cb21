"""What a scheduler does when it is asked (see control.py), on the scheduler's own thread, between two steps."""
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, get_args

import torch

from vortex.config import OperatingPoint, make_point
from vortex.errors import EngineError, VortexError
from vortex.ir import Graph
from vortex.serving.engine import Recorded
from vortex.serving.sglang.audit import Audit
from vortex.serving.sglang.control import Answer, write_answer
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.log import Log
from vortex.serving.sglang.served import Served
from vortex.serving.sglang.step_clock import StepClock

_log = logging.getLogger(__name__)


class Backend(Protocol):
    """What commands ask of backend.py."""

    served: Served | None
    recorder: Any
    counters: Counters
    device: torch.device

    def use(self, graph: Graph | None, point: OperatingPoint) -> None: ...

    def recapture(self) -> None: ...

    def summarise_all(self) -> None: ...


class Host(Protocol):
    """What commands ask of the scheduler that they run in."""

    rank: int

    def retracted(self) -> AbstractContextManager[None]:
        """While it is open nothing runs and no request holds pages; they go on afterwards."""

    def flush(self) -> None:
        """Empties the prefix cache; inside `retracted`. Raises EngineError where requests still hold pages."""

    def share_prefixes(self, wanted: bool) -> bool:
        """Whether requests share pages from now on: never where the server was started without it."""

    def agree(self, well: bool) -> bool:
        """Whether it went well on every rank."""

    def settle(self) -> None:
        """Waits for what the device has been given to do."""

    def health(self) -> Mapping[str, Any]: ...


class Commands:
    """One scheduler's. `graph` and `point` are what the backend was made with."""

    def __init__(self, backend: Backend, host: Host, graph: Graph | None, point: OperatingPoint) -> None:
        self.backend = backend
        self.host = host
        self.audit: Audit | None = None
        self.clock: StepClock | None = None
        self._asked = graph, point
        self._radix = self._share(graph)
        self._table: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "use": self._use, "record": self._record, "stop-record": self._stop_record, "counters": self._counters,
            "audit": self._audit, "step-times": self._step_times, "wipe": self._wipe, "rebuild": self._rebuild,
            "flush": self._flush, "health": self._health}

    def carry_out(self, request: str, folder: str) -> None:
        """Never raises: a scheduler that ended with a request would take all others with it."""
        try:
            answer: Answer = {"ok": True, "rank": self.host.rank, **self.answer(request)}
        except VortexError as error:
            answer = {"ok": False, "rank": self.host.rank, "error": dict(error.to_json())}
        except Exception as error:        # whatever it is, the asker is told and requests go on
            _log.exception("a command failed")
            told = EngineError(f"{type(error).__name__}: {error}", hint="The scheduler's log has the whole story.")
            answer = {"ok": False, "rank": self.host.rank, "error": dict(told.to_json())}
        try:
            write_answer(Path(folder), self.host.rank, answer)
        except OSError as error:
            _log.warning("nobody waits for an answer any more: %s", error)

    def answer(self, request: str) -> Answer:
        """Raises VortexError."""
        try:
            body: Any = json.loads(request)
            name = body["do"]
        except (ValueError, TypeError, KeyError) as error:
            raise EngineError(f'a request is a JSON object with a "do": {error}') from error
        if name not in self._table:
            raise EngineError(f"unknown request {name!r}", hint=f"Known: {', '.join(self._table)}.")
        return self._table[name](body)

    def told(self) -> dict[str, int]:
        """Numbers so far; waits for the device."""
        served = self.backend.served
        audit = {} if self.audit is None else self.audit.told()
        return {**self.backend.counters.told(), **audit, "index_bytes": 0 if served is None else served.summaries.bytes}

    def _use(self, body: Mapping[str, Any]) -> Answer:
        graph, point = _graph(body.get("graph")), make_point(_object(body, "point"))
        began = time.perf_counter()
        with self.host.retracted():
            self._swap(graph, point)
            self._radix = self._share(graph)
        served = self.backend.served
        return {"seconds": time.perf_counter() - began, "radix": self._radix, "flow": graph and graph.name,
                "index_bytes": 0 if served is None else served.summaries.bytes}

    def _swap(self, graph: Graph | None, point: OperatingPoint) -> None:
        """On all ranks or on none; graphs are captured on all at once."""
        before = id(self.backend.served)                                  # no more: its memory is given back first
        failed = _failure(lambda: self._begin(graph, point))
        touched = failed is None or id(self.backend.served) != before     # what is new may lie where the old one lay
        if self.host.agree(failed is None):
            touched, failed = True, _failure(self.backend.recapture)
            if self.host.agree(failed is None):
                self._asked = graph, point
                self.backend.counters.swaps += 1
                return
        if touched:                       # and where that fails too: other ranks wait all the same
            failed = _failure(lambda: self.backend.use(*self._asked)) or failed
        if not self.host.agree(not touched):
            self.backend.recapture()
        raise failed or EngineError("another rank refused the flow")

    def _begin(self, graph: Graph | None, point: OperatingPoint) -> None:
        if stateful(graph):
            self.host.flush()
        self.backend.use(graph, point)

    def _share(self, graph: Graph | None) -> bool:
        on = self.host.share_prefixes(not stateful(graph))
        if stateful(graph):
            _log.warning("%s keeps state by request: requests share no prefixes while it is served", graph and graph.name)
        return on

    def _record(self, body: Mapping[str, Any]) -> Answer:
        if body.get("what") not in get_args(Recorded):
            raise EngineError(f"cannot record {body.get('what')!r}", hint=f"Known: {', '.join(get_args(Recorded))}.")
        if self.backend.recorder is not None:
            raise EngineError("a recording is under way", hint="Stop it first.")
        self.backend.recorder = Log(body["what"])
        return {}

    def _stop_record(self, body: Mapping[str, Any]) -> Answer:
        log = self.backend.recorder
        if log is None:
            raise EngineError("nothing is being recorded")
        self.host.settle()
        self.backend.recorder = None
        path = Path(f"{body['path']}.{self.host.rank}")
        return {"events": log.save(path), "bytes": log.bytes, "path": str(path)}

    def _counters(self, body: Mapping[str, Any]) -> Answer:
        graph, point = self._asked
        return {**self.told(), **self.host.health(), "flow": graph and graph.name, "point": point.hash, "radix": self._radix}

    def _audit(self, body: Mapping[str, Any]) -> Answer:
        told = {} if self.audit is None else self.audit.told()
        self.audit = Audit(device=self.backend.device) if _on(body) else None
        return dict(told)

    def _step_times(self, body: Mapping[str, Any]) -> Answer:
        told = [] if self.clock is None else self.clock.told()
        self.clock = StepClock() if _on(body) else None
        return {"steps": told}

    def _wipe(self, body: Mapping[str, Any]) -> Answer:
        self.host.settle()
        self._served().summaries.wipe()
        return {}

    def _rebuild(self, body: Mapping[str, Any]) -> Answer:
        self.host.settle()
        self._served()
        self.backend.summarise_all()
        return {}

    def _flush(self, body: Mapping[str, Any]) -> Answer:
        with self.host.retracted():
            self.host.flush()
        return {}

    def _health(self, body: Mapping[str, Any]) -> Answer:
        return dict(self.host.health())

    def _served(self) -> Served:
        if self.backend.served is None:
            raise EngineError("no flow is served: all steps are dense")
        return self.backend.served


def stateful(graph: Graph | None) -> bool:
    """Does it keep state by request, which pages shared with others cannot hold?"""
    return graph is not None and bool(graph.states)


def _failure(attempt: Callable[[], None]) -> Exception | None:
    """Whatever it is: other ranks wait to hear how it went here."""
    try:
        attempt()
    except Exception as error:
        return error
    return None


def _graph(body: object) -> Graph | None:
    return None if body is None else Graph.from_json(body if isinstance(body, str) else json.dumps(body))


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if not isinstance(found, Mapping):
        raise EngineError(f'"{name}" is missing, or is no object')
    return found


def _on(body: Mapping[str, Any]) -> bool:
    found = body.get("on")
    if not isinstance(found, bool):
        raise EngineError('"on" is true or false')
    return found
