"""A flow's text read in the sandbox: what comes out is a Graph that was checked on this side of the wall too."""
from collections.abc import Sequence
from dataclasses import replace

from evaluator.sandbox.choice import run
from evaluator.sandbox.entries import load_flow, plain
from vortex.errors import GraphError
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check

READ_WALL_S = 20.0
READ_MEMORY_BYTES = 2 << 30


def read_flow(text: str, path: str, geometry: Geometry, parameters: Sequence[Parameter] = (), *, trusted: bool = False) -> Graph:
    """The Graph of `text`, traced at `geometry`, with the numbers of `parameters`: no file is within reach in there.

    A text that hangs, eats memory or breaks out of the language ends as a refusal. `trusted` as of `run`. Raises FlowError,
    GraphError, and what `run` raises.
    """
    found = run(load_flow, text, path, *plain(geometry, parameters), wall_s=READ_WALL_S, memory_bytes=READ_MEMORY_BYTES,
                trusted=trusted)
    return _checked(_with_numbers(Graph.from_json(found), parameters), geometry)


def _checked(graph: Graph, geometry: Geometry) -> Graph:
    """Kernels are written from it. Raises GraphError."""
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
