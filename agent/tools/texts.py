"""Tools on the text of a flow: check, same, cost, proxy, draft and submit."""
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema

from agent.claim_text import predictions
from agent.claims import OBJECTIVES, Claim
from agent.cli.text import columns
from agent.tools.bench import Bench, Flow, Submission, ToolError
from agent.tools.box import Arguments, Spec, spec
from agent.tools.proxy import measured
from search.words import bytes_text
from vortex.compiler.bits import field_bytes
from vortex.compiler.cost import Shape
from vortex.compiler.cost import cost as cost_of
from vortex.compiler.identity.explain import WRITTEN_ALIKE, explain
from vortex.errors import FlowError

if TYPE_CHECKING:                     # the module takes seconds to import
    from vortex.serving.checkpoint import ModelShape

CONTEXTS = (1024, 8192, 32768)
MOST_DRAFTS = 24
WHICH = "A flow: its whole text, the name of a draft or of a built-in flow, or a candidate's number."
FlowText = Annotated[str, Field(min_length=1, description=WHICH)]
Knobs = Annotated[dict[str, Any], Field(default_factory=dict,
                                        description="Knobs of the campaign at other values: {\"topk_ratio\": 0.125}.")]
PREDICTION = {
    "type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": ["string", "number", "null"]}},
    "description": "What measurement will show: lists of objective, direction (up, down, same) and amount or null. "
                   f'Objectives: {", ".join(OBJECTIVES)}. For example [["accuracy", "up", 0.02]].',
}
Words = Annotated[str, Field(min_length=1, max_length=2000)]


class OneFlow(Arguments):
    flow: FlowText


class TwoFlows(Arguments):
    a: FlowText
    b: FlowText


class CostOf(Arguments):
    flow: FlowText
    contexts: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 22)], ...],
                        Field(min_length=1, max_length=8, description="Tokens of the request.")] = CONTEXTS
    knobs: Knobs


class AtPoint(Arguments):
    flow: FlowText
    knobs: Knobs


class Draft(Arguments):
    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w\- ]{0,59}$", description="What to call it in this conversation.")]
    source: Annotated[str, Field(min_length=1, description="The whole text of the flow.")]


class Submit(Arguments):
    name: Annotated[str, Field(min_length=1, max_length=80, description="A few words for people: what is new about it.")]
    source: FlowText
    mechanism: Annotated[Words, Field(description="Why it should help, in a sentence or two.")]
    prediction: Annotated[Any, WithJsonSchema(PREDICTION)]
    refuted_by: Annotated[Words, Field(description="What would show that the idea is wrong.")]
    parents: Annotated[tuple[int, ...], Field(max_length=4, description="Candidates it was made of.")] = ()
    knobs: Knobs


def check(bench: Bench, asked: OneFlow) -> str:
    """Is this text a legal flow? Says its hash, fields, ops and whether it was tried already; or what is wrong, in which
    line, and the edit that mends it. Nothing is run; it costs nothing."""
    return _told(bench, bench.flow(asked.flow))


def same(bench: Bench, asked: TwoFlows) -> str:
    """Are two flows one algorithm (do they select the same blocks, ties aside), and by which laws; or where they part."""
    one, other = bench.flow(asked.a), bench.flow(asked.b)
    found = explain(bench.legal(one)[1], bench.legal(other)[1])
    if not found.same:
        return f"different: {found.difference}\nA {one.name} {found.hashes[0]}\nB {other.name} {found.hashes[1]}"
    laws = [f"{letter}: {law}" for letter, used in zip("AB", found.laws, strict=True) for law in used]
    return "\n".join([f"the same algorithm {found.hashes[0]}", *(laws or [WRITTEN_ALIKE])])


def cost(bench: Bench, asked: CostOf) -> str:
    """What a decode step of a flow reads and computes at the campaign's operating point, by arithmetic, for contexts of
    several lengths, beside dense attention."""
    graph, point, shape = bench.legal(bench.flow(asked.flow))[1], bench.turned(asked.knobs), _shape(bench)
    rows: list[tuple[str, ...]] = [("context", "read per step", "of dense", "summaries", "operations", "of dense")]
    for context in asked.contexts:
        at = Shape(context=context, layers=shape.layers, kv_heads=shape.kv_heads)
        own, dense = (cost_of(one, point, bench.geometry, at) for one in (graph, None))
        rows.append((f"{context}", bytes_text(own.bytes_per_step), f"{own.bytes_per_step / dense.bytes_per_step:.3f}",
                     bytes_text(own.index_bytes), f"{own.operations:.3g}", f"{own.operations / dense.operations:.3f}"))
    return f"{columns(rows)}\n{field_bytes(graph, point)} bytes of summaries a block and kv head"


def proxy(bench: Bench, asked: AtPoint) -> str:
    """A cheap measurement: which share of the exact attention mass lies in the blocks that the flow selects, beside the
    best possible and random choices, on recorded rows of the shipped probe model at the campaign's budget. Takes seconds.
    It is a hint, not a result: accuracy and speed are measured after submit."""
    return measured(bench, bench.flow(asked.flow), bench.turned(asked.knobs))


def draft(bench: Bench, asked: Draft) -> str:
    """Keeps a text under a name in this conversation, so that the other tools take the name for it; and checks it."""
    if len(bench.drafts) >= MOST_DRAFTS and asked.name not in bench.drafts:
        raise ToolError(f"there are {MOST_DRAFTS} drafts already", hint="Write over one of them.")
    bench.drafts[asked.name] = Flow(name=asked.name, source=asked.source)
    try:
        return f"kept as {asked.name!r}\n{_told(bench, bench.drafts[asked.name])}"
    except FlowError as error:
        return f"kept as {asked.name!r}, and not legal yet:\n{error.report()}"


def submit(bench: Bench, asked: Submit) -> str:
    """Hands in a flow to be measured, with its claim: the mechanism, what measurement will show, and what would refute it.
    It must be legal and new; nothing that is refused costs a place."""
    if bench.submit is None:
        raise ToolError("nothing can be submitted here")
    flow, point = bench.flow(asked.source), bench.turned(asked.knobs)
    digest, graph = bench.legal(flow)
    entries = bench.entries()
    known = next((e.candidate for e in entries if (e.candidate.flow.hash, e.candidate.point.hash) == (digest, point.hash)), None)
    if known is not None:
        raise ToolError(f"this is candidate {known.id} ({known.name}) after rewriting: it is not run again",
                        hint=f"Read what became of it: show {known.id}. Change the algorithm, or turn a knob.")
    for number in asked.parents:
        bench.candidate(number)
    predicted = tuple(predictions(asked.prediction))
    if not predicted:
        raise ToolError("the prediction says nothing that measurement can answer",
                        hint=f'Write [["accuracy", "up", 0.02], ["speed", "same"]]. Objectives: {", ".join(OBJECTIVES)}.')
    claim = Claim(mechanism=asked.mechanism, refuted_by=asked.refuted_by, prediction=predicted)
    named = Flow(name=" ".join(asked.name.split()), source=flow.source, parameters=flow.parameters)
    return bench.submit(Submission(flow=named, graph=graph, hash=digest, point=point, claim=claim, parents=asked.parents))


def _told(bench: Bench, flow: Flow) -> str:
    digest, graph = bench.legal(flow)
    fields = ", ".join(f"{f.name} [{f.rows}, {f.cols}]" for f in graph.fields) or "none"
    ops = Counter(node.op for node in (*graph.cache, *graph.indexer))
    rows = [("ok", f"{graph.name}  {digest}"),
            ("fields", f"{fields}  ({field_bytes(graph, bench.point)} bytes a block and kv head)"),
            ("ops", ", ".join(f"{op} x{n}" if n > 1 else op for op, n in sorted(ops.items()))),
            ("known", _known(bench, digest))]
    return columns(rows)


def _known(bench: Bench, digest: str) -> str:
    tried = [f"{e.candidate.id} ({e.candidate.name})" for e in bench.entries() if e.candidate.flow.hash == digest]
    return f"the same algorithm as {', '.join(tried[:6])}" if tried else "new in this campaign"


def _shape(bench: Bench) -> "ModelShape":
    from vortex.serving.checkpoint import find_checkpoint  # seconds of imports that `--help` does without

    return find_checkpoint(bench.point.model, bench.point.engine).shape


TEXT_TOOLS: tuple[Spec, ...] = (
    spec(check, OneFlow), spec(same, TwoFlows), spec(cost, CostOf), spec(proxy, AtPoint, most_calls=12), spec(draft, Draft),
    spec(submit, Submit),
)
