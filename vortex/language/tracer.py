"""What tracing is in either spelling: the flow made and run on symbols, its tapes, and what create_cache declares."""
from collections.abc import Callable
from functools import partial
from typing import Any

from vortex.errors import FlowContractError
from vortex.ir import Geometry
from vortex.language.cache import Shape, checked_name
from vortex.language.flow import vFlow, vFlowMLA
from vortex.language.ops.record import Side
from vortex.language.ops.shapes import whole
from vortex.language.parameters import Parameters
from vortex.language.place import Source, run
from vortex.language.symbols import TAPE, Tape


class Tracer:
    """A flow at a geometry: `run` runs its code, and places what goes wrong in its text."""

    def __init__(self, flow: type[vFlow], geometry: Geometry) -> None:
        check_geometry(flow, geometry)
        self.geometry = geometry
        self.source = Source(flow.source_path(), flow.flow_text)
        self.evaluator = flow.flow_evaluator
        self.run: Callable[..., Any] = partial(run, self.source)
        if self.evaluator is not None:
            self.evaluator.begin()
            self.run = partial(self.evaluator.placed, self.source)
        self.parameters = Parameters(flow.flow_folder, flow.flow_parameters)
        self.flow = self.run(flow, geometry)
        self.declared = self._declared()

    def line_of(self, method: str) -> int:
        """Where a method of the flow begins."""
        return self.flow.first_line(method)  # type: ignore[no-any-return]  # the flow is one of ours

    def _tape(self, side: Side) -> Tape:
        tape = Tape(side, self.geometry, self.source.path)
        tape.parameters = self.parameters
        if self.evaluator is not None:
            tape.lines, tape.spend = self.evaluator.line, self.evaluator.guard.op
        return tape

    def _on(self, tape: Tape, body: Callable[..., Any], *args: object) -> Any:
        token = TAPE.set(tape)
        try:
            return self.run(body, *args)
        finally:
            TAPE.reset(token)

    def _declared(self) -> dict[str, Shape] | None:
        geometry = self.geometry
        inner = (geometry.kv_lora_rank, geometry.qk_rope_head_dim) if geometry.latent else (geometry.head_dim,)
        declared = self.run(self.flow.create_cache, geometry.block_size, *inner)
        if declared is None:
            return None
        shapes = isinstance(declared, dict) and all(
            isinstance(name, str) and isinstance(shape, tuple | list) and len(shape) == 2
            and all(whole(size) and size > 0 for size in shape) for name, shape in declared.items())
        if not shapes:
            raise FlowContractError("create_cache does not return {name: (rows, cols)}",
                                    where=self.source.where(self.line_of("create_cache")),
                                    hint="Rows and columns are whole numbers from 1 on.")
        return {self.run(checked_name, name): (shape[0], shape[1]) for name, shape in declared.items()}


def check_geometry(flow: type[vFlow], geometry: Geometry) -> None:
    """Raises FlowContractError where a flow on latents meets keys and values, or the other way round."""
    if issubclass(flow, vFlowMLA) != geometry.latent:
        kind, other = ("latents", "keys and values") if issubclass(flow, vFlowMLA) else ("keys and values", "latents")
        raise FlowContractError(f"the flow {flow.flow_name or flow.__name__} is written for {kind}, and is read for {other}",
                                hint="A vFlowMLA serves models with latent attention, a vFlow all others.")
