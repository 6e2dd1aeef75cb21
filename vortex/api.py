"""The door for programs outside: a flow from its text or file, ready to be traced for any geometry."""
from dataclasses import dataclass, field
from pathlib import Path

from vortex import flows
from vortex.compiler.front import load, load_usual
from vortex.errors import FlowNotFound
from vortex.ir import Geometry, Graph, Parameter

TEXT = "<flow>"                           # where a text from nowhere says that its mistakes are
HINT = "Give the path of a file, the name of a built-in flow, or the text of a flow."


@dataclass(frozen=True, kw_only=True)
class LoadedFlow:
    """A legal flow; `graph` traces it for a geometry. `parameters` are the contents of its parameter files as loaded."""

    name: str
    text: str = field(repr=False)
    path: str
    registered: str | None                # which of the text's flows; None: the last one
    latent: bool
    parameters: tuple[Parameter, ...] = field(repr=False)

    def graph(self, geometry: Geometry) -> Graph:
        """Raises FlowError where the flow is not legal at `geometry`."""
        return load(self.text, self.path, geometry, self.registered, self.parameters)


def load_flow(path_or_text: str | Path, name: str | None = None) -> LoadedFlow:
    """A flow from a file, from the name of a built-in one, or from text: a string with a newline, or an empty one.

    `name` picks one of several registered flows; without it the last one counts. What `vortex check` refuses is refused:
    every mistake raises a VortexError that says what is wrong, where, and what to change. Runs nothing of the text.
    """
    text, path = _read(path_or_text)
    graph = load_usual(text, path, name)
    return LoadedFlow(name=graph.name, text=text, path=path, registered=name, latent=graph.geometry.latent,
                      parameters=graph.parameters)


def _read(path_or_text: str | Path) -> tuple[str, str]:
    if isinstance(path_or_text, Path):
        try:
            return path_or_text.read_text(), str(path_or_text)
        except (OSError, ValueError) as error:
            raise FlowNotFound(f"cannot read {path_or_text}: {getattr(error, 'strerror', None) or error}", hint=HINT) from None
    if not isinstance(path_or_text, str):
        raise FlowNotFound(f"a flow is not read from {type(path_or_text).__name__}", hint=HINT)
    if not path_or_text or "\n" in path_or_text:
        return path_or_text, TEXT
    _, text, path = flows.read(path_or_text)
    return text, path
