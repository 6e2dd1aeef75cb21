"""Traces a flow made of op objects: what is declared, what its ops write, and which fields turn out to be state."""
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vortex.errors import FieldError, Fix, FlowContractError, FlowError
from vortex.ir import Field, FieldKind, Geometry, Graph, Node, Writes
from vortex.language.cache import reserved
from vortex.language.compat import Context, Output, Token
from vortex.language.edits import redeclared, shape_text, undeclared
from vortex.language.ending import check_one_selection, nothing_on_o
from vortex.language.fields import Fields
from vortex.language.flow import vFlow
from vortex.language.ops.record import OPS, Side
from vortex.language.symbols import Tape
from vortex.language.tracer import Tracer

FIRST = "{}_first"
ABSENT = re.compile(r"create_cache declares no field '(\w+)'$")
OTHER = re.compile(r'create_cache declares "(\w+)" as .*, and \[block, (\d+), (\d+)\] is ')


class ObjectTracer(Tracer):
    """The tracing of one such flow at one geometry."""

    def __init__(self, flow: type[vFlow], geometry: Geometry) -> None:
        super().__init__(flow, geometry)
        where = self.source.where(self.line_of("create_cache"))
        if self.declared is None:
            raise FlowContractError("create_cache returns nothing", where=where,
                                    hint='It returns the fields and their shapes: {"name": (rows, columns)}.')
        self.fields = dict(self.declared)
        taken = next((name for name in self.fields if name in reserved(geometry)), None)
        if taken is not None:
            raise FieldError(f'create_cache declares "{taken}", which every block has of itself', where=where,
                             hint="Leave it out.")

    def graph(self) -> Graph:
        cache, tape, output = self._cache_side(), self._tape(Side.INDEXER), Output()
        indexer = Fields(tape, self.fields)
        query = tape.leaf("input", OPS["input"].infer((), {"name": "q"}, self.geometry), name="q")
        self._run(tape, self.flow.forward_indexer, query, output, indexer, Context(self.geometry))
        if output.selection is None:
            raise nothing_on_o(self.source, self.flow.last_line())
        check_one_selection(tape.nodes, output.selection._index, self.source)
        return self._joined(cache, indexer, output.selection._index)

    def _cache_side(self) -> Fields:
        tape = self._tape(Side.CACHE)
        cache = Fields(tape, self.fields)
        self._run(tape, self.flow.forward_cache, cache, Token("loc"), Context(self.geometry))
        unwritten = next((name for name in self.fields if name not in cache.written and name not in cache.fills), None)
        if unwritten is not None:
            raise FieldError(f'create_cache declares "{unwritten}", and forward_cache does not write it',
                             where=self.source.where(self.line_of("forward_cache")),
                             hint="A field that is only saved begins at a number: self.fill = Fill(0.0) of "
                                  f'vortex_torch.cache, self.fill(cache["{unwritten}"], loc=loc, ctx=ctx).')
        return cache

    def _run(self, tape: Tape, body: Callable[..., Any], *args: object) -> None:
        """Runs a body; what is wrong of a declaration comes with the edit of create_cache."""
        try:
            self._on(tape, body, *args)
        except FlowError as error:
            error.fix = error.fix or self._declaration(error)
            raise

    def _declaration(self, error: FlowError) -> Fix | None:
        begin, absent, other = self.line_of("create_cache"), ABSENT.match(error.message), OTHER.match(error.message)
        if other is not None:
            return redeclared(self.source, begin, other[1], self._shape(begin, int(other[2]), int(other[3])))
        if absent is None or not absent[1].isidentifier():
            return None
        return undeclared(self.source, begin, absent[1], self._shape(begin, 1, self.geometry.head_dim))

    def _shape(self, begin: int, rows: int, cols: int) -> str:
        return shape_text(self.source, begin, rows, cols, self.geometry)

    def _joined(self, cache: Fields, indexer: Fields, selection: int) -> Graph:
        """The Graph: what is saved is state, and begins where forward_cache leaves it."""
        firsts = {name: self._first(name, cache) for name in indexer.saved}
        for name in cache.fills:
            if name not in firsts and name not in cache.written:
                cache.written[name] = cache.constant(name)
        kept = {name: firsts.get(name, name) for name in cache.written}
        writes = tuple((first, cache.written[name]._index) for name, first in kept.items() if isinstance(first, str))
        fields = [Field(name, *cache.tape.nodes[node].type.shape) for name, node in writes]
        fields += [Field(name, *self.fields[name], FieldKind.STATE, first) for name, first in firsts.items()]
        saves = tuple((name, value._index) for name, value in indexer.saved.items())
        return Graph(self.flow.flow_name, self.geometry, tuple(fields), tuple(cache.tape.nodes), writes,
                     _with_state(indexer.tape.nodes, saves), saves, selection, self.parameters.declared)

    def _first(self, name: str, cache: Fields) -> float | str:
        """A number, or the summary that forward_cache computes, under a name of its own."""
        if name in cache.fills:
            return cache.fills[name] + 0.0
        first = FIRST.format(name)
        while first in self.fields:
            first = FIRST.format(first)
        return first


def _with_state(nodes: list[Node], saves: Writes) -> tuple[Node, ...]:
    """Reads of fields that are saved are reads of state."""
    saved: Mapping[str, int] = dict(saves)
    return tuple(replace(node, op="state") if node.op == "field" and node.attr("name") in saved else node for node in nodes)
