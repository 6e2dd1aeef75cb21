"""From a flow and a point to what is served: first all that can be refused, then memory. Nothing here knows SGLang."""
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vortex.compiler.pipeline import compile as compile_flow
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.checkpoint import ModelShape
from vortex.serving.embedded.steps import fixed
from vortex.serving.layers import Layers, check_point
from vortex.serving.sglang.checks import check_flow, check_state, page_size
from vortex.serving.sglang.dense_rule import rule_of
from vortex.serving.sglang.models import attending
from vortex.serving.sglang.pools import Pages, SummaryShape
from vortex.serving.sglang.ranks import Share
from vortex.serving.sglang.served import Served


@dataclass(frozen=True, kw_only=True)
class Intended:
    """A flow that may be served: nothing is left that could refuse it but memory."""

    graph: Graph
    point: OperatingPoint
    program: Program
    layers: Layers
    pages: Pages
    shape: SummaryShape
    device: torch.device

    @property
    def bytes(self) -> int:
        """Of the summaries that `furnish` makes."""
        return self.shape.bytes(self.graph, self.point)

    def furnish(self) -> Served:
        """Summaries are written from whatever the pages hold."""
        served = Served(graph=self.graph, point=self.point, program=self.program, layers=self.layers, pages=self.pages,
                        summaries=self.shape.make(self.graph, self.point, self.device), rule=rule_of(self.graph, self.point))
        served.rebuild(torch.arange(1, self.shape.blocks, device=self.device))
        return served


@dataclass(frozen=True, kw_only=True)
class Making:
    """What flows are served with on one rank: `pages` of a block size."""

    shape: ModelShape                     # of this rank
    share: Share
    full: frozenset[int]                  # layers that have pages
    pages: Callable[[int], Pages]
    device: torch.device
    page: int | None = None               # tokens of the engine's pages
    attention_dp: bool = False            # data parallel attention: rows that decode may be made prefills of

    def intended(self, graph: Graph, point: OperatingPoint) -> Intended:
        """Of the whole model's graph and point. Raises EngineError, BudgetError, CompileError."""
        graph, point = self.share.graph(graph), self.share.point(point)
        check_flow(graph, point, self.shape)
        check_state(graph, self.attention_dp)
        page_size(self.page, point)
        layers = attending(check_point(point, graph, self.shape), self.full)
        program = compile_flow(graph, point, self.device.type)
        pages = self.pages(point.block_size)
        heads, blocks = pages.k(min(layers.select or self.full)).shape[:2]
        kernels = fixed(program)
        dtypes = {} if kernels is None else {f.name: kernels.field_dtype(f.name) for f in graph.fields}
        return Intended(graph=graph, point=point, program=program, layers=layers, pages=pages, device=self.device,
                        shape=SummaryShape(heads=heads, blocks=blocks, layers=layers.select, dtypes=dtypes))
