"""Texts of flows, each loaded once in the sandbox: a proposer asks whether a text is legal, the loop asks again."""
import threading
from collections.abc import Sequence

from agent.untrusted import load_untrusted
from search.candidate import FlowRecord
from vortex.errors import VortexError
from vortex.ir import Geometry, Parameter

MOST_KEPT = 1024


class Loading:
    """See agent.desk.Loader; `trusted` as of load_untrusted. May be called from several threads; one child runs at a time."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._known: dict[tuple[str, str, tuple[Parameter, ...]], tuple[FlowRecord, VortexError | None]] = {}
        self._one = threading.Lock()

    def __call__(self, text: str, path: str, parameters: Sequence[Parameter] = (), *,
                 trusted: bool = False) -> tuple[FlowRecord, VortexError | None]:
        key = (text, path, tuple(parameters))
        with self._one:
            if key not in self._known:
                if len(self._known) >= MOST_KEPT:
                    self._known.clear()
                self._known[key] = load_untrusted(path, text, self._geometry, parameters, trusted=trusted)
            return self._known[key]
