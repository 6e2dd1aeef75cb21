"""Flows traced: the words of the contract, fields and state, and what is said when something is wrong."""
import pytest
from hypothesis import given, settings

from tests.strategies import graphs
from vortex import ops, register, vFlow
from vortex.compiler.front import load
from vortex.errors import FieldError, FlowContractError, FlowError
from vortex.ir import FieldKind, Geometry, Graph
from vortex.language.loader import load_flow
from vortex.language.source import to_source
from vortex.language.trace import trace

HEAD = "from vortex import ops, register, vFlow\n\n\n@register(\"x\")\nclass X(vFlow):\n"


def flow(cache: str = "", indexer: str = "return ops.topk(ops.position())", more: str = "") -> str:
    """A flow of these bodies; forward_cache begins at line 7."""
    body = "\n".join(f"        {line}" for line in (cache or "pass").splitlines())
    score = "\n".join(f"        {line}" for line in indexer.splitlines())
    return f"{HEAD}    def forward_cache(self, cache):\n{body}\n\n    def forward_indexer(self, q, cache):\n{score}\n{more}"


def traced(text: str, geometry: Geometry | None = None) -> Graph:
    return trace(load_flow(text, "my_flow.py"), geometry or Geometry())


def said(text: str) -> str:
    with pytest.raises(FlowError) as refusal:
        traced(text)
    return refusal.value.report()


FIELD_ERRORS = [
    (flow('cache["c"] = cache["k"].mean(dim=1)', 'cache["c"] = ops.position()\nreturn ops.topk(ops.position())'), 10),
    (flow('cache["c"] = cache["k"].mean(dim=1)', 'return ops.topk(cache.state("c"))'), 10),
    (flow('x = cache.state("c")'), 7), (flow('cache["a b"] = cache["k"]'), 7), (flow('cache["v"] = cache["k"]'), 7),
    (flow(indexer='cache["s"] = ops.position()\ncache["s"] = ops.position()\nreturn ops.everything()'), 11),
    (flow(indexer='cache["s"] = ops.position()\nx = cache["s"]\nreturn ops.everything()'), 11),
    (flow(indexer='x = cache.state("s", first=0.0) + cache.state("s", first=1.0)\nreturn ops.everything()'), 10),
    (flow('cache["c"] = cache["k"]', "return ops.everything()",
          '    def create_cache(self, block_size, head_dim):\n        return {"d": (1, 1)}\n'), 11),
    (flow('cache["c"] = cache["k"]', 'return ops.topk(cache["c"].max(dim=1).max(dim=2))',
          '    def create_cache(self, block_size, head_dim):\n        return {"c": (16, 128), "d": (1, 1)}\n'), 12),
    (flow('cache["c"] = cache["k"].mean(dim=1)', "return ops.everything()"), 7),
    (flow('cache["c"] = cache["k"]\ncache["d"] = cache["c"].mean(dim=1)', "return ops.everything()"), 8),
    (flow(indexer='x = cache.state("s", first="c")\ncache["s"] = x\nreturn ops.everything()'), 10),
]


@pytest.mark.parametrize(("text", "line"), FIELD_ERRORS, ids=range(len(FIELD_ERRORS)))
def test_fields_are_written_once_and_read_after(text: str, line: int) -> None:
    with pytest.raises(FieldError) as refusal:
        traced(text)
    assert refusal.value.where.line == line


def test_create_cache_is_checked_against_what_is_written() -> None:
    more = "    def create_cache(self, block_size, head_dim):\n        return {\"c\": (1, head_dim // 2)}\n"
    text = flow('cache["c"] = cache["k"].mean(dim=1)', 'return ops.topk(cache["c"].max(dim=2))', more)
    assert 'create_cache declares "c" as [1, 64], and [block, 1, 128] is written into it' in said(text)
    assert traced(text.replace("// 2", "* 1")).field("c").cols == 128


def test_create_cache_that_returns_nonsense_is_refused() -> None:
    more = "    def create_cache(self, block_size, head_dim):\n        return {\"c\": 5}\n"
    with pytest.raises(FlowContractError, match=r"does not return \{name: \(rows, cols\)\}"):
        traced(flow(more=more))


@pytest.mark.parametrize(("saved", "shape"), [
    ("last * 0.5 + ops.position()", (1, 1)), ("last + (q @ cache['c'].T)", (4, 1)), ("last + cache['c']", (1, 128)),
    ("ops.maximum(last, q * cache['c'])", (4, 128)), ("(last + q * cache['c'])[..., :128]", (4, 128)),
    ("(q @ last.T) * 0.0 + cache['c'].max(dim=2) + q @ cache['c'].T", (4, 1)),
])
def test_the_shape_of_state_is_that_of_what_is_saved(saved: str, shape: tuple[int, int]) -> None:
    saved = saved.replace("'", '"')
    indexer = 'c = cache["c"]\nlast = cache.state("s", first=2)\n' \
              f'new = {saved}\ncache["s"] = new\nreturn ops.topk(new.max(dim=1).max(dim=2))'
    if "q @ last.T" in saved:
        with pytest.raises(FlowError):
            traced(flow('cache["c"] = cache["k"].mean(dim=1)', indexer))
        return
    field = traced(flow('cache["c"] = cache["k"].mean(dim=1)', indexer)).field("s")
    assert ((field.rows, field.cols), field.kind, field.first) == (shape, FieldKind.STATE, 2.0)


def test_a_state_that_must_be_multiplied_is_found_by_its_shape() -> None:
    indexer = ('new = cache.state("s") * 0.5 + cache["c"]\ncache["s"] = new\n'
               'return ops.topk(q.mean(dim=1) @ cache.state("s").T)')
    assert traced(flow('cache["c"] = cache["k"].mean(dim=1)', indexer)).field("s").cols == 128


def test_a_state_that_grows_is_refused() -> None:
    assert "grows" in said(flow(indexer='s = cache.state("s")\ncache["s"] = ops.cat([s, s], dim=1)\nreturn ops.everything()'))


def test_a_value_read_after_it_was_written_is_what_the_field_holds() -> None:
    graph = traced(flow('cache["c"] = cache["k"].mean(dim=1)\ncache["n"] = cache["c"].norm(dim=2)',
                        'return ops.topk(cache["n"])'))
    assert [n.op for n in graph.cache] == ["field", "mean", "stored", "norm"]


def test_nodes_remember_their_lines() -> None:
    graph = traced(flow('cache["c"] = (cache["k"]\n              .mean(dim=1))',
                        'return ops.topk(\n    (q @ cache["c"].T).max(dim=1))'))
    assert [(n.op, n.line) for n in graph.cache] == [("field", 7), ("mean", 8)]
    assert [(n.op, n.line) for n in graph.indexer][-2:] == [("max", 12), ("topk", 11)]


def test_numbers_on_either_side_and_reflected_operators_mean_what_they_say() -> None:
    one = traced(flow(indexer="p = ops.position()\nreturn ops.topk(1 - p / 2 + -(3 * p))"))
    ops_used = [n.op for n in one.indexer]
    assert ops_used == ["input", "position", "const", "divide", "const", "subtract", "const", "multiply", "negate", "add",
                        "topk"]
    assert one.indexer[5].args == (4, 3)


def test_a_flow_imported_as_python_traces_like_its_text() -> None:
    @register("plain")
    class Plain(vFlow):
        def forward_indexer(self, q, cache):  # type: ignore[no-untyped-def]
            return ops.topk((q @ cache["k"].T).max(dim=2).max(dim=1))

    text = flow(indexer='return ops.topk((q @ cache["k"].T).max(dim=2).max(dim=1))')
    assert trace(Plain, Geometry()).hash == traced(text).hash


def test_a_wrong_op_name_in_python_is_refused_with_the_nearest() -> None:
    with pytest.raises(FlowError, match=r"there is no ops\.topq") as refusal:
        ops.topq(ops.position())
    assert refusal.value.hint == "Did you mean topk?"


def test_a_value_of_one_side_is_not_used_on_the_other() -> None:
    kept = []

    @register("leak")
    class Leak(vFlow):
        def forward_cache(self, cache):  # type: ignore[no-untyped-def]
            kept.append(cache["k"])

        def forward_indexer(self, q, cache):  # type: ignore[no-untyped-def]
            return ops.topk((q @ kept[0].T).max(dim=2).max(dim=1))

    with pytest.raises(FlowContractError, match="a value of forward_cache is used in forward_indexer"):
        trace(Leak, Geometry())


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_what_is_written_anew_has_fields_of_the_same_shapes(graph: Graph) -> None:
    again = trace(load_flow(to_source(graph, name="drawn", doc="x"), parameters=graph.parameters), graph.geometry)
    shapes = {f.name: (f.rows, f.cols, f.kind, f.first) for f in again.fields if not f.name.startswith("rounded")}
    assert shapes.items() <= {f.name: (f.rows, f.cols, f.kind, f.first) for f in graph.fields}.items()
    assert {f.name for f in graph.states} <= set(shapes)


def test_a_state_may_begin_at_a_summary() -> None:
    graph = traced(flow('cache["c"] = cache["k"].mean(dim=1)',
                        'last = cache.state("s", first="c")\ncache["s"] = last * 0.5\nreturn ops.topk(q.mean(dim=1) @ last.T)'))
    assert (graph.field("s").first, graph.field("s").cols) == ("c", 128)


def test_a_state_is_saved_in_the_shape_it_begins_with() -> None:
    assert 'begins at "c", [block, 1, 128], and is saved as [block, 1, 1]' in said(
        flow('cache["c"] = cache["k"].mean(dim=1)',
             'last = cache.state("s", first="c")\ncache["s"] = last.max(dim=2)\nreturn ops.everything()'))


LATENT = """from vortex import ops, register, vFlowMLA
@register("latent")
class Latent(vFlowMLA):
    def forward_cache(self, cache):
        cache["c"] = cache["latent"][..., :self.kv_lora_rank].mean(dim=1)

    def forward_indexer(self, q, cache):
        part = q[..., :self.latent_dim - self.qk_rope_head_dim]
        return ops.topk((part @ cache["c"].T).max(dim=1))
"""


def test_a_latent_flow_reads_latents() -> None:
    graph = traced(LATENT, Geometry.of_latent(32))
    assert (graph.field("c").cols, graph.cache[0].type.shape) == (512, (32, 576))


def test_a_flow_is_read_only_for_what_it_is_written_for() -> None:
    for text, geometry in ((LATENT, Geometry()), (flow(), Geometry.of_latent())):
        with pytest.raises(FlowContractError, match="is written for"):
            traced(text, geometry)
    assert load(LATENT, "latent.py", Geometry(block_size=32)).geometry == Geometry.of_latent(32)


@pytest.mark.parametrize("axes", ["", "1, 2", "2, 1", "-1, -2", "-2, -1", "1, -1"])
def test_a_transpose_is_of_the_inner_axes_however_they_are_counted(axes: str) -> None:
    short, called = (traced(flow('cache["c"] = cache["k"].mean(dim=1)', f'return ops.topk(q.mean(dim=1) @ cache["c"].{swapped})'))
                     for swapped in ("T", f"transpose({axes})"))
    assert short.hash == called.hash
