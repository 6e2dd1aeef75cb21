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

from vortex.ir import SELECTION, Field, FieldKind, Graph, Node, Writes
from vortex.language.calls import plain
from vortex.language.ops.record import OPS

INLINE = 56          # characters up to which a value that is used once needs no name
WIDTH = 116
TAKEN = {"q", "cache", "self", "ops", "register", "vFlow", "vFlowMLA", *keyword.kwlist, *dir(builtins)}
INDENT = " " * 8
UNQUOTED = re.compile(r"[\w./ -]+")     # a key that stands between any quotes as it is
REPEATED = ("input", "field", "const", "stored", "position", "random", "mass", "transpose")   # written out at each use


def to_source(graph: Graph, *, name: str, doc: str) -> str:
    """The text of a flow that registers `name`, with `doc` as the sentence at its top.

    Its parameters are told by file and key: it is read where those files lie, or with the Graph's `parameters`.
    """
    graph = with_what_is_read(graph)
    fields = {f.name: f for f in graph.fields}
    base = "vFlowMLA" if graph.geometry.latent else "vFlow"
    parts = [f'"""{docstring(doc)}"""', f"from vortex import ops, register, {base}", "", "",
             f"@register({quoted(name)})", f"class {class_name(name)}({base}):"]
    bodies = []
    if any((f.rows, f.cols) != (1, 1) for f in graph.states):
        bodies.append(_create_cache(graph))
    if graph.writes:
        written = {node: field for field, node in reversed(graph.writes)}
        cache = Writer(graph.cache, graph.writes, fields, written, _declarations(graph))
        bodies.append(["    def forward_cache(self, cache):", *cache.body([])])
    indexer = Writer(graph.indexer, graph.saves, fields, {}, _declarations(graph))
    bodies.append(["    def forward_indexer(self, q, cache):", *indexer.body([graph.selection])])
    for body in bodies:
        parts += [*body, ""]
    return "\n".join(parts)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _declarations(graph: Graph) -> dict[str, str]:
    """How the parameter of each digest is asked for."""
    return {p.digest: f"ops.param({quoted(p.file)}, {quoted(p.key)})" for p in graph.parameters}


def live_nodes(nodes: Sequence[Node], roots: Iterable[int]) -> list[int]:
    """The nodes that `roots` are made of, in order."""
    wanted = set(roots)
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
    return sorted(wanted)


def with_what_is_read(graph: Graph) -> Graph:
    """Only summaries that something reads; and a field for every value that is read as a field holds it."""
    live = live_nodes(graph.indexer, [graph.selection, *(node for _, node in graph.saves)])
    read = {graph.indexer[i].attr("name") for i in live if graph.indexer[i].op == "field"}
    read |= {f.first for f in graph.states if isinstance(f.first, str)}
    writes = [(name, node) for name, node in graph.writes if name in read]
    held = {node: name for name, node in reversed(graph.writes)}
    taken = {f.name for f in graph.fields}
    free = (name for number in count(1) if (name := f"rounded_{number}") not in taken)
    for index in live_nodes(graph.cache, [node for _, node in writes]):
        value = graph.cache[index].args[0] if graph.cache[index].op == "stored" else None
        if value is not None and value not in (node for _, node in writes):
            writes.append((held.get(value) or next(free), value))
    fields = [Field(name, *graph.cache[node].type.shape) for name, node in writes]
    return replace(graph, writes=tuple(writes), fields=(*fields, *graph.states))


def docstring(doc: str) -> str:
    text = doc.strip().replace("\\", "\\\\").replace('"', "'") or "A flow."
    return "\n".join(textwrap.fill(line, WIDTH) for line in text.splitlines())


def class_name(name: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined.isidentifier() and joined not in TAKEN else f"Flow{joined}"


def _create_cache(graph: Graph) -> list[str]:
    """Declared shapes: a state's cannot always be told from the text before it is saved."""
    shapes = [f'{INDENT}    "{f.name}": ({f.rows}, {f.cols}),' for f in graph.fields]
    sizes = "kv_lora_rank, qk_rope_head_dim" if graph.geometry.latent else "head_dim"
    return [f"    def create_cache(self, block_size, {sizes}):", f"{INDENT}return {{", *shapes, f"{INDENT}}}"]


class Writer:
    """One of the two programs as lines of text."""

    def __init__(self, nodes: Sequence[Node], writes: Writes, fields: dict[str, Field],
                 written: dict[int, str], declarations: dict[str, str]) -> None:
        self.nodes = nodes
        self.writes = writes
        self.fields = fields
        self.written = written
        self.declarations = declarations
        self.texts: dict[int, str] = {}
        self.names = {node: name for name, node in reversed(writes)}
        self.used = Counter[str]()

    def body(self, roots: Sequence[int]) -> list[str]:
        """The statements; the last root, where there is one, is returned."""
        live = live_nodes(self.nodes, [*roots, *(node for _, node in self.writes)])
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
        odd = self.nodes[index].op == "param" and not UNQUOTED.fullmatch(text.split('"')[3])
        return odd or uses[index] > 1 or (len(text) > INLINE and index not in self.names)

    def _variable(self, index: int, uses: Counter[int]) -> str:
        node = self.nodes[index]
        noun = OPS[node.op].noun or node.op
        if index in self.names:
            noun = self.names[index]
        elif node.op == "state":
            noun = f"last_{node.attr('name')}"
        elif any(n.type == SELECTION and n.args == (index,) for n in self.nodes):
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
        if node.op == "param":
            return self.declarations[node.attr("digest")]
        return plain(OPS[node.op].spelling([f"({self.texts[a]})" for a in node.args], dict(node.attrs)))

    def _state(self, name: str) -> str:
        first = self.fields[name].first
        return f'cache.state("{name}", first={quoted(first) if isinstance(first, str) else repr(first)})'

    def _unread_state(self, live: Sequence[int]) -> list[str]:
        """A first value that nothing reads is still said."""
        read = {self.nodes[i].attr("name") for i in live if self.nodes[i].op == "state"}
        return [f"{INDENT}{self._state(f.name)}" for f in self.fields.values()
                if f.kind is FieldKind.STATE and f.first and f.name not in read and self._saves(f.name)]

    def _saves(self, name: str) -> bool:
        return any(saved == name for saved, _ in self.writes)
