"""Texts of flows that somebody else wrote: evaluated once, in the sandbox; what comes out is Graph JSON."""
from collections.abc import Sequence
from functools import lru_cache

from evaluator import sandbox
from search.candidate import FlowRecord, flow_record
from vortex import flows
from vortex.errors import SandboxUnavailable, VortexError
from vortex.ir import Geometry, Parameter
from vortex.language.parameters import named_in


def load_untrusted(path: str, text: str, geometry: Geometry, parameters: Sequence[Parameter] = (), *,
                   trusted: bool = False) -> tuple[FlowRecord, VortexError | None]:
    """Loads a flow in the sandbox: a text that hangs, eats memory or breaks out of the language ends as a refusal.

    Gives the flow's record, and the refusal where the text is no legal flow. `trusted` texts, of the built-in evolver and of
    the built-in flows, are loaded on a machine without a sandbox too. Raises SandboxUnavailable for others there.
    """
    known = (*parameters, *(() if path.startswith("<") else named_in(text, path)))     # no file is within reach in there
    try:
        graph = sandbox.read_flow(text, path, geometry, known, trusted=trusted or text in _ours())
    except SandboxUnavailable:
        raise
    except VortexError as error:
        return flow_record(path, text, None), error
    return flow_record(graph.name, text, graph), None


@lru_cache(maxsize=1)
def _ours() -> frozenset[str]:
    return frozenset(flows.read(name)[1] for name in flows.names())
