"""A flow's own kernels on a device: summaries of completed blocks, and the launches from queries to scores and state."""
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vortex.compiler.kernels.attention import block_mass
from vortex.compiler.kernels.finish import finishes, finishing
from vortex.compiler.kernels.generate import Texts, generate
from vortex.compiler.kernels.launch import Launcher, programs
from vortex.compiler.kernels.plan import KernelPlan
from vortex.compiler.kernels.selection import launch_selection
from vortex.compiler.kernels.sources import Types, field_name
from vortex.compiler.kernels.statistics import OUTPUTS, TILE, overall
from vortex.compiler.kernels.workspace import Worklist, WorkShape
from vortex.compiler.parameters import parameter_of_layer
from vortex.compiler.selection import rules
from vortex.config import OperatingPoint
from vortex.ir import Graph, Node
from vortex.language.ops.record import find

Tensors = Mapping[str, torch.Tensor]
Values = dict[str, Any]


class FlowKernels:
    """Made for one Graph, point, and dtypes of queries and cache; `fused` as TritonProgram says. Raises CompileError."""

    def __init__(self, graph: Graph, point: OperatingPoint, types: Types, device: torch.device,
                 fused: bool | None = None) -> None:
        self.graph = graph
        self.point = point
        self.texts: Texts = generate(graph, point, types)
        texts = self.texts
        self._device = device
        self._fused = fused
        self._rules = rules(graph)
        self._finishing: dict[int, Launcher] = {}
        self._launchers = {text.name: Launcher(text, device)
                           for text in (texts.update, texts.rows, *texts.phases, texts.score) if text is not None}
        self._constants: dict[tuple[str, int, int], torch.Tensor] = {}

    def update(self, fields: Tensors, state: Tensors, k: torch.Tensor, v: torch.Tensor, done: torch.Tensor, layer: int) -> None:
        if self.texts.update is None or not done.numel():
            return
        values = {"done": done, "P": k.shape[1], **self._pools(k, v, fields, state), **self._parameters(layer, k.shape[0])}
        self._launchers["update"]((done.numel(), k.shape[0]), values)

    def select(self, plan: KernelPlan, work: Worklist, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors,
              state: Tensors, layer: int) -> None:
        """Scores, state and lists of all rows that are scored."""
        shape, fused = work.shape, self.texts.fused
        if self.texts.score is None:
            return
        values: Values = {
            "q": q, "items": work.items, "starts": work.starts, "ends": work.end, "tables": plan.inputs.tables,
            "R": shape.rows, "H": shape.heads, "N": shape.blocks, "P": k.shape[1], "CHUNK": shape.chunk, "scores": work.scores,
            "tickets": work.tickets, "counts": work.counts, "index": work.index, "most": work.most, "blocks": work.blocks,
            "L": shape.listed, "seeds": plan.inputs.seeds, "lens": plan.inputs.lens, "layer": layer,
            **self._pools(k, v, fields, state), **self._parameters(layer, shape.heads),
        }
        self._rooms(plan, shape.rows, shape.blocks, values)
        for node in fused.mass:
            block_mass(q, k, plan.inputs.tables, plan.inputs.lens, values[self.texts.kept.blocks[node]].squeeze(2),
                       scratch=plan.attention(q, k, None, None, 0), scored=work.end)
        if fused.rows:
            self._launchers["rows"]((shape.rows,), values)
        grid = (programs(shape.items, self._device),)
        for at, phase in enumerate(fused.phases):
            self._launchers[f"phase_{at}"](grid, values)
            for index in phase.statistics:
                self._statistic(index, work, values)
        if self._together(shape):
            self._finisher(shape)(grid, values)
        else:
            self._launchers["score"](grid, values)
            launch_selection(work, self._rules, self.point.block_reserved_bos, self.point.block_reserved_eos)

    def _together(self, shape: WorkShape) -> bool:
        """Do scores and selection share a launch?"""
        return finishes(shape.blocks) if self._fused is None else self._fused

    def _finisher(self, shape: WorkShape) -> Launcher:
        assert self.texts.score is not None
        if shape.blocks not in self._finishing:
            self._finishing[shape.blocks] = Launcher(finishing(self.texts.score, self._rules, shape, self.point), self._device)
        return self._finishing[shape.blocks]

    def _statistic(self, index: int, work: Worklist, values: Values) -> None:
        node = self.graph.indexer[index]
        size = _size(self.graph.indexer, node.args[0])
        kept, kind = self.texts.kept, find(node.op).statistic
        scale = float(node.attr("scale")) if kind == "softmax" else 1.0
        overall[(work.shape.rows, size)](
            values[kept.blocks[node.args[0]]], values[kept.statistics[index]], work.end, work.shape.blocks, size, scale,
            KIND=kind, BOS=self.point.block_reserved_bos, TILE=TILE, num_warps=4)

    def _rooms(self, plan: KernelPlan, rows: int, blocks: int, values: Values) -> None:
        """Scratch between the launches, by the name of the argument."""
        nodes, kept = self.graph.indexer, self.texts.kept
        for node, name in kept.blocks.items():
            values[name] = plan.room(name, rows, blocks, _size(nodes, node))
        for node, name in kept.rows.items():
            values[name] = plan.room(name, rows, _size(nodes, node))
        for node, name in kept.statistics.items():
            outputs = OUTPUTS.get(find(nodes[node].op).statistic, 1)
            values[name] = plan.room(name, rows, outputs, _size(nodes, nodes[node].args[0]))

    def _pools(self, k: torch.Tensor, v: torch.Tensor, fields: Tensors, state: Tensors) -> Values:
        values: Values = {}
        for name, pool in (("k", k), ("v", v)):
            values |= {name: pool, **{f"{name}_{axis}": pool.stride(at) for at, axis in enumerate("hps")}}
        return values | {field_name(self.graph, name): pool for name, pool in (*fields.items(), *state.items())}

    def _parameters(self, layer: int, heads: int) -> Values:
        values: Values = {}
        nodes = {node.attr("digest"): node for node in (*self.graph.cache, *self.graph.indexer) if node.op == "param"}
        for number, parameter in enumerate(self.graph.parameters):
            if parameter.digest in nodes:
                tensor = self._constant(nodes[parameter.digest], layer, heads)
                values |= {f"param_{number}": tensor, f"param_{number}_h": tensor.stride(0) if tensor.shape[0] > 1 else 0}
        return values

    def _constant(self, node: Node, layer: int, heads: int) -> torch.Tensor:
        key = (node.attr("digest"), layer, heads)
        if key not in self._constants:
            self._constants[key] = parameter_of_layer(self.graph, node, layer, heads).to(self._device).contiguous()
        return self._constants[key]


def _size(nodes: Sequence[Node], node: int) -> int:
    return nodes[node].type.rows * nodes[node].type.cols


