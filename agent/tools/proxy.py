"""The proxy: which share of exact attention mass lies in the blocks that a flow selects, on recorded rows of the probe."""
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from agent.cli.text import columns
from agent.tools.bench import Bench, Flow, ToolError
from agent.untrusted import load_untrusted
from vortex import child, flows
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Geometry, Graph

MODEL = "probe"
TASKS = ("multikey-1k-full", "vt-1k-4hop")
PROMPTS, SEED = 2, 977                # prompts a task; the seed is nobody's stage's
RECORD_WALL_S, MEASURE_WALL_S, MEMORY_BYTES = 120.0, 60.0, 12 << 30
BESIDE = ("oracle", "quest", "centroid", "random")
Event: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Recall:
    """Mean share of mass over the rows, and over the worst tenth of them; the share of blocks that was attended."""

    mean: float
    worst: float
    blocks: float


def measured(bench: Bench, flow: Flow, point: OperatingPoint) -> str:
    """A table: the flow and the known algorithms beside it. Raises VortexError for a flow that is not legal on the probe."""
    if point.model != MODEL:
        point = point.with_(model=MODEL)
    try:
        geometry, events = recorded(point.block_size)
    except VortexError as error:
        raise ToolError(f"the probe cannot be recorded here: {error.message}",
                        hint=error.hint or "Go on without: `check` and `cost` need no model.") from error
    own = _recall(flow.source, f"<{flow.name}>", geometry, flow, point, events)
    rows = [("flow", "mass attended", "worst tenth", "blocks attended"), _row(flow.name, own)]
    rows += [_row(name, beside(name, point)) for name in BESIDE]
    on = f"on the shipped probe, {len(TASKS) * PROMPTS} prompts of 1K tokens, one decode step, state at its start"
    return f"{columns(rows)}\n{on}"


@lru_cache(maxsize=64)
def beside(name: str, point: OperatingPoint) -> Recall:
    """That of a built-in flow, asked for once."""
    geometry, events = recorded(point.block_size)
    short, source, path = flows.read(name)
    return _recall(source, path, geometry, Flow(name=short, source=source), point, events)


@lru_cache(maxsize=4)
def recorded(block_size: int) -> tuple[Geometry, tuple[Event, ...]]:
    """The rows, recorded once a process in a limited child. Raises VortexError."""
    return child.run(_record, block_size, wall_s=RECORD_WALL_S, memory_bytes=MEMORY_BYTES)


def _recall(source: str, path: str, geometry: Geometry, flow: Flow, point: OperatingPoint, events: tuple[Event, ...]) -> Recall:
    record, refusal = load_untrusted(path, source, geometry, flow.parameters)
    if refusal is not None:
        raise refusal
    assert record.graph is not None
    return child.run(_measure, record.graph, point, events, wall_s=MEASURE_WALL_S, memory_bytes=MEMORY_BYTES)


def _record(block_size: int) -> tuple[Geometry, tuple[Event, ...]]:
    """In the child. q [H, G, D] and k, v [T, H, D] of every request and layer of one decode step, as NumPy arrays."""
    import torch  # seconds of imports that nothing else of the tools needs

    from evaluator.tasks.registry import preset
    from vortex.serving.embedded.engine import EmbeddedEngine
    from vortex.serving.engine import Request

    torch.set_num_threads(1)
    engine = EmbeddedEngine("cpu")
    engine.start(MODEL)
    engine.use(None, OperatingPoint(model=MODEL, block_size=block_size))
    samples = [sample for task in TASKS for sample in preset(task).samples(SEED, PROMPTS)]
    asks = [Request(id=one.id, tokens=tuple(engine.tokenizer.encode(one.prompt)), max_new_tokens=2) for one in samples]
    with engine.record("qkv") as recording:
        list(engine.generate(asks))
    found = tuple({"layer": event["layer"], "seed": event["seeds"][i], "q": event["q"][i].numpy(),
                   "k": event["k"][i].transpose(0, 1).numpy(), "v": event["v"][i].transpose(0, 1).numpy()}
                  for event in recording.events for i in range(len(event["requests"])))
    return engine.geometry(block_size), found


def _measure(graph: Graph, point: OperatingPoint, events: tuple[Event, ...]) -> Recall:
    """In the child. Rows are (request, layer, kv head); layers that the point keeps dense are left out."""
    import torch  # as above

    from vortex.compiler.attention import block_mass
    from vortex.step import select_blocks

    torch.set_num_threads(1)
    shares, attended, blocks = [], 0, 0
    for event in events:
        if point.mode(event["layer"]) != "select":
            continue
        q, k, v = (torch.from_numpy(event[name]) for name in "qkv")
        taken = select_blocks(graph, q.reshape(1, -1, q.shape[-1]), [k], [v], point, layer=event["layer"],
                              seeds=[event["seed"]]).blocks[0]
        mass = block_mass(q, k.transpose(0, 1), graph.geometry.block_size)
        shares += [float(row[list(chosen)].sum()) for row, chosen in zip(mass, taken, strict=True)]
        attended, blocks = attended + sum(map(len, taken)), blocks + mass.numel()
    if not shares:
        raise ToolError("every layer of the probe is dense at this point", hint="Nothing is selected, so all mass is attended.")
    shares.sort()
    worst = shares[:max(1, len(shares) // 10)]
    return Recall(sum(shares) / len(shares), sum(worst) / len(worst), attended / blocks)


def _row(name: str, one: Recall) -> tuple[str, ...]:
    return name, f"{one.mean:.3f}", f"{one.worst:.3f}", f"{one.blocks:.3f}"
