"""Texts of flows that somebody else wrote: evaluated once, in the sandbox; what comes out is Graph JSON."""
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from evaluator import sandbox
from evaluator.sandbox.entries import load_flow, plain
from search.candidate import FlowRecord, flow_record
from vortex import flows
from vortex.errors import GraphError, SandboxUnavailable, VortexError
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check
from vortex.language.parameters import named_in

LOAD_WALL_S = 20.0
LOAD_MEMORY_BYTES = 2 << 30


def load_untrusted(path: str, text: str, geometry: Geometry, parameters: Sequence[Parameter] = (), *,
                   trusted: bool = False) -> tuple[FlowRecord, VortexError | None]:
    """Loads a flow in the sandbox: a text that hangs, eats memory or breaks out of the language ends as a refusal.

    Gives the flow's record, and the refusal where the text is no legal flow. `trusted` texts, of the built-in evolver and of
    the built-in flows, are loaded on a machine without a sandbox too. Raises SandboxUnavailable for others there.
    """
    known = (*parameters, *(() if path.startswith("<") else named_in(text, path)))     # no file is within reach in there
    try:
        found = sandbox.run(load_flow, text, path, *plain(geometry, known), wall_s=LOAD_WALL_S, memory_bytes=LOAD_MEMORY_BYTES,
                            trusted=trusted or text in _ours())
        graph = _checked(_with_numbers(Graph.from_json(found), known), geometry)
    except SandboxUnavailable:
        raise
    except VortexError as error:
        return flow_record(path, text, None), error
    return flow_record(graph.name, text, graph), None


@lru_cache(maxsize=1)
def _ours() -> frozenset[str]:
    return frozenset(flows.read(name)[1] for name in flows.names())


def _checked(graph: Graph, geometry: Geometry) -> Graph:
    """What came out of the sandbox, checked here as well: kernels are written from it. Raises GraphError."""
    if graph.geometry != geometry:
        raise GraphError(f"the Graph was asked for at {geometry}, and says {graph.geometry}")
    check(graph)
    return graph


def _with_numbers(graph: Graph, known: Sequence[Parameter]) -> Graph:
    """The Graph with the contents that we hold. Raises GraphError for a parameter that nobody gave it."""
    held = {(one.file, one.key): one for one in known}
    for one in graph.parameters:
        if held.get((one.file, one.key)) != one:
            raise GraphError(f"the flow names a parameter {one.key!r} of {one.file} that it was not given")
    return replace(graph, parameters=tuple(held[one.file, one.key] for one in graph.parameters))
