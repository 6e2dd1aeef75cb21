"""Everything that is decided before SGLang starts a child: what is refused, what SGLang is told, what the summaries take.

Nothing here knows SGLang; hooks.py asks it in the process that is started, and nowhere else.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vortex import flows
from vortex.compiler.front import load
from vortex.errors import FlowNotFound
from vortex.ir import Geometry, Graph
from vortex.serving.layers import check_point
from vortex.serving.sglang.checks import check_flow, check_graphs, check_settings, check_state, page_size
from vortex.serving.sglang.memory import Demand, check_room, demand, kv_bytes
from vortex.serving.sglang.models import ModelFacts, attending, check_model
from vortex.serving.sglang.plugin import NAME
from vortex.serving.sglang.settings import Settings

PAGES = 8                                 # a pool of fewer serves nobody


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the children are to find (`settings`: flows as Graphs) and what SGLang is told, under its own names."""

    settings: Settings
    told: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()           # for whoever started it, a line each


def concerned(view: Any) -> bool:
    """Is the attention backend ours, or left to us? Someone who names another one gets that."""
    split = (view.prefill_attention_backend, view.decode_attention_backend)
    if view.attention_backend is None:
        return NAME in split or not any(split)
    return NAME in (view.attention_backend, *split)


def prepare(settings: Settings, view: Any, model: ModelFacts) -> Start:
    """Before SGLang takes its own decisions. Raises VortexError for what is not served."""
    check_settings(view)
    check_model(model)
    point = settings.point if settings.point.model else settings.point.with_(model=model.name)
    graph = graph_for(settings, model.shape.geometry(point.block_size))
    told: dict[str, Any] = {"attention_backend": NAME, "page_size": page_size(view.page_size, point)}
    if model.shape.kv_lora_rank:
        told["flashinfer_mla_disable_ragged"] = True       # its other way takes prefills that are not absorbed, and ours are
    notes: tuple[str, ...] = ()
    if graph is not None:
        check_flow(graph, point, model.shape)
        check_state(graph, bool(view.enable_dp_attention))
        if graph.states and not view.disable_radix_cache:       # by commands.py, which can switch it on again
            notes = (f"{graph.name} keeps state of each request, so that requests share no pages: the radix cache is off",)
    text = None if graph is None else graph.to_json()
    ready = settings.model_copy(update={"graph": text, "named": None, "module": None, "point": point})
    index_of(ready, model)
    return Start(settings=ready, told=told, notes=notes)


def graph_for(settings: Settings, geometry: Geometry) -> Graph | None:
    """The flow for this geometry: one that is named is read now. Raises FlowError, GraphError."""
    if settings.named is None:
        return settings.flow()
    _, text, path = flows.read(settings.named)
    if settings.module is not None and settings.module not in text:
        raise FlowNotFound(f"{settings.named} registers no flow {settings.module!r}",
                           hint=f'It stands over the class: @register("{settings.module}").')
    return load(text, path, geometry, settings.module)


def index_of(settings: Settings, model: ModelFacts, item: int = 2) -> Demand:
    """What a token of the pool takes on one rank, `item` bytes a number of the KV cache. Raises EngineError, BudgetError."""
    graph, point = settings.flow(), model.share.point(settings.point)
    layers = frozenset[int]()
    if graph is not None:
        layers = attending(check_point(point, model.share.graph(graph), model.shape), model.full).select
    return demand(graph, point, model.shape, layers, kv_bytes(model.shape, len(model.full), item), settings.reserve)


def settle(settings: Settings, model: ModelFacts, view: Any, *, item: int, room: int | None) -> str:
    """Once SGLang has decided: what to say of the memory. `room`: bytes for the pool and its summaries, where known.

    Raises EngineError where they are not enough, where a page is not whole blocks any more, or for graphs that are in the way.
    """
    check_graphs(view)
    page = page_size(view.page_size, settings.point)
    needed, wanted = index_of(settings, model, item), view.max_total_tokens or 0
    if room is not None:
        check_room(needed, room, wanted, PAGES * page)
    return needed.told(wanted or (0 if room is None else needed.tokens(room)))
