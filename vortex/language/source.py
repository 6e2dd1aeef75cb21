"""Graph to readable flow text in the tensor spelling; reading it at the same geometry gives the same hash."""
import builtins
import json
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count

from vortex.ir import Field, FieldKind, Graph, Node, Writes
from vortex.language.calls import plain
from vortex.language.ops.record import OPS

INLINE = 56          # characters up to which a value that is used once needs no name
WIDTH = 116
TAKEN = {"q", "cache", "self", "ops", "register", "vFlow", *keyword.kwlist, *dir(builtins)}
INDENT = " " * 8
REPEATED = ("input", "field", "const", "stored", "position", "random", "mass", "transpose")   # written out at each use


def to_source(graph: Graph, *, name: str, doc: str) -> str:
    """The text of a flow that registers `name`, with `doc` as the sentence at its top."""
    graph = _with_stored_written(graph)
    fields = {f.name: f for f in graph.fields}
    parts = [f'"""{_docstring(doc)}"""', "from vortex import ops, register, vFlow", "", "",
             f"@register({json.dumps(name)})", f"class {_class_name(name)}(vFlow):"]
    bodies = []
    if any((f.rows, f.cols) != (1, 1) for f in graph.states):
        bodies.append(_create_cache(graph.fields))
    if graph.writes:
        written = {node: field for field, node in reversed(graph.writes)}
        cache = Writer(graph.cache, graph.writes, fields, written)
        bodies.append(["    def forward_cache(self, cache):", *cache.body([])])
    indexer = Writer(graph.indexer, graph.saves, fields, {})
    bodies.append(["    def forward_indexer(self, q, cache):", *indexer.body([graph.selection])])
    for body in bodies:
        parts += [*body, ""]
    return "\n".join(parts)


def _live(nodes: Sequence[Node], roots: Iterable[int]) -> list[int]:
    """The nodes that `roots` are made of, in order."""
    wanted = set(roots)
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
    return sorted(wanted)


def _with_stored_written(graph: Graph) -> Graph:
    """A value that is read as a field holds it needs a field to be read from, even where nothing else reads that."""
    written = {node for _, node in graph.writes}
    stored = [graph.cache[i].args[0] for i in _live(graph.cache, written) if graph.cache[i].op == "stored"]
    missing = [node for node in dict.fromkeys(stored) if node not in written]
    taken = {f.name for f in graph.fields}
    free = (name for number in count(1) if (name := f"rounded_{number}") not in taken)
    new = [(name, node) for node, name in zip(missing, free, strict=False)]
    fields = [Field(name, *graph.cache[node].type.shape) for name, node in new]
    return replace(graph, writes=(*graph.writes, *new), fields=(*graph.fields, *fields))


def _docstring(doc: str) -> str:
    text = doc.strip().replace("\\", "\\\\").replace('"', "'") or "A flow."
    return "\n".join(textwrap.fill(line, WIDTH) for line in text.splitlines())


def _class_name(name: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined.isidentifier() and joined not in TAKEN else f"Flow{joined}"


def _create_cache(fields: Sequence[Field]) -> list[str]:
    """Declared shapes: a state's cannot always be told from the text before it is saved."""
    shapes = [f'{INDENT}    "{f.name}": ({f.rows}, {f.cols}),' for f in fields]
    return ["    def create_cache(self, block_size, head_dim):", f"{INDENT}return {{", *shapes, f"{INDENT}}}"]


class Writer:
    """One of the two programs as lines of text."""

    def __init__(self, nodes: Sequence[Node], writes: Writes, fields: dict[str, Field],
                 written: dict[int, str]) -> None:
        self.nodes = nodes
        self.writes = writes
        self.fields = fields
        self.written = written
        self.texts: dict[int, str] = {}
        self.names = {node: name for name, node in reversed(writes)}
        self.used = Counter[str]()

    def body(self, roots: Sequence[int]) -> list[str]:
        """The statements; the last root, where there is one, is returned."""
        live = _live(self.nodes, [*roots, *(node for _, node in self.writes)])
        uses = self._uses(live, roots)
        lines = self._unread_state(live)
        for index in live:
            text = self._text(self.nodes[index])
            named = index not in roots and self.nodes[index].op not in REPEATED and self._needs_name(index, text, uses)
            if named:
                variable = self._variable(index, uses)
                lines.append(f"{INDENT}{variable} = {text}")
            self.texts[index] = variable if named else text
            lines += [f'{INDENT}cache["{name}"] = {self.texts[index]}' for name, node in self.writes if node == index]
        return lines + [f"{INDENT}return {self.texts[root]}" for root in roots]

    def _uses(self, live: Sequence[int], roots: Sequence[int]) -> Counter[int]:
        """How often each value is written out."""
        uses = Counter([*roots, *(node for _, node in self.writes)])
        for index in live:
            if self.nodes[index].op != "stored":
                uses.update(self.nodes[index].args)
        return uses

    def _needs_name(self, index: int, text: str, uses: Counter[int]) -> bool:
        return uses[index] > 1 or (len(text) > INLINE and index not in self.names)

    def _variable(self, index: int, uses: Counter[int]) -> str:
        node = self.nodes[index]
        noun = OPS[node.op].noun or node.op
        if index in self.names:
            noun = self.names[index]
        elif node.op == "state":
            noun = f"last_{node.attr('name')}"
        elif any(n.op == "topk" and n.args == (index,) for n in self.nodes):
            noun = "score"
        if noun in TAKEN or noun.startswith("_"):
            noun = f"new{noun}" if noun.startswith("_") else f"{noun}_value"
        self.used[noun] += 1
        variable = noun if self.used[noun] == 1 else f"{noun}_{self.used[noun]}"
        return variable if variable not in self.texts.values() else self._variable(index, uses)

    def _text(self, node: Node) -> str:
        if node.op == "stored":
            return f'cache["{self.written[node.args[0]]}"]'
        if node.op == "state":
            return self._state(str(node.attr("name")))
        return plain(OPS[node.op].spelling([f"({self.texts[a]})" for a in node.args], dict(node.attrs)))

    def _state(self, name: str) -> str:
        return f'cache.state("{name}", first={self.fields[name].first!r})'

    def _unread_state(self, live: Sequence[int]) -> list[str]:
        """A first value that nothing reads is still said."""
        read = {self.nodes[i].attr("name") for i in live if self.nodes[i].op == "state"}
        return [f"{INDENT}{self._state(f.name)}" for f in self.fields.values()
                if f.kind is FieldKind.STATE and f.first and f.name not in read and self._saves(f.name)]

    def _saves(self, name: str) -> bool:
        return any(saved == name for saved, _ in self.writes)
