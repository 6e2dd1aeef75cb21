"""What a server is not started with: settings of SGLang's under which flows would be wrong, or would silently not be used.

Nothing here knows SGLang: it is asked of `view`, the settings under SGLang's own names, and of what the model is.
"""
from collections.abc import Callable
from typing import Any

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.checkpoint import ModelShape

KV_DTYPES = ("auto", "bfloat16", "bf16", "float16", "float32", "fp8_e4m3", "fp8_e5m2")
# (setting, is it in the way?, what it does): told by the name that the command line has for it.
Rule = tuple[str, Callable[[Any], bool], str]
RULES: tuple[Rule, ...] = (
    ("speculative_algorithm", bool, "drafts several tokens a step, and a flow selects for one"),
    ("prefill_attention_backend", bool, "splits what one backend has to own: summaries are written by both phases"),
    ("decode_attention_backend", bool, "splits what one backend has to own: summaries are written by both phases"),
    ("enable_mixed_chunk", bool, "puts decoding requests into prefill batches, where they would attend densely"),
    ("enable_two_batch_overlap", bool, "splits the batch of a step behind the planner's back"),
    ("enable_pdmux", bool, "runs prefill and decode at once, over the same summaries"),
    ("enable_torch_compile", bool, "traces attention, and the steps of a flow cannot be traced"),
    ("cuda_graph_backend_prefill", lambda value: value == "full", "captures which blocks a prefill completes once for all"),
    ("cuda_graph_backend_decode", lambda value: value not in ("full", "disabled"), "captures steps in pieces"),
    ("enable_hisparse", bool, "keeps a part of the KV cache on the host"),
    ("dllm_algorithm", bool, "writes blocks of tokens that later steps change"),
    ("enable_mis", bool, "scores several items of a prompt by a mask of its own"),
    ("is_embedding", bool, "generates nothing"),
    ("prefill_only_disable_kv_cache", bool, "keeps no KV cache"),
    ("enable_hierarchical_cache", bool, "brings pages back from the host without their summaries"),
    ("enable_lmcache", bool, "brings pages from elsewhere without their summaries"),
    ("enable_flexkv", bool, "brings pages from elsewhere without their summaries"),
    ("enable_unified_cache_external_linker", bool, "brings pages from elsewhere without their summaries"),
    ("enable_page_major_kv_layout", bool, "keeps the KV cache in a layout that is not read here"),
    ("enable_unified_memory", bool, "keeps the KV cache in a layout that is not read here"),
    ("enable_kv_cache_sharding", bool, "shares the tokens of a request out to several ranks"),
    ("enable_prefill_cp", bool, "shares the tokens of a request out to several ranks"),
    ("attn_cp_size", lambda value: value > 1, "shares the tokens of a request out to several ranks"),
    ("dcp_size", lambda value: value > 1, "shares the tokens of a request out to several ranks"),
    ("pp_size", lambda value: value > 1, "puts layers on several ranks, and lists may be reused by later layers"),
    ("kv_cache_dtype", lambda value: value not in KV_DTYPES, "quantises the KV cache in a way that is not read here"),
)


def check_settings(view: Any) -> None:
    """Raises EngineError for the first setting that is in the way."""
    for name, wrong, why in RULES:
        value = getattr(view, name, None)
        if value is not None and wrong(value):
            flag = "--" + name.replace("_", "-")
            shown = flag if value is True else f"{flag} {value}"
            hint = f"KV caches that are read: {', '.join(KV_DTYPES)}." if name == "kv_cache_dtype" else f"Leave {flag} out."
            raise EngineError(f"a flow cannot be served with {shown}: it {why}", hint=hint)


def check_graphs(view: Any) -> None:
    """Once SGLang has decided: its JSON says what the flags say, and more. Raises EngineError."""
    config = view.cuda_graph_config
    if config is not None and config.prefill.backend == "full":
        raise _captured("prefill", "full", "captures which blocks a prefill completes once for all")
    if config is not None and config.decode.backend not in ("full", "disabled"):
        raise _captured("decode", config.decode.backend, "captures steps in pieces")


def _captured(phase: str, backend: str, why: str) -> EngineError:
    return EngineError(f"a flow cannot be served with --cuda-graph-config {phase}.backend={backend}: it {why}",
                       hint=f"Leave the backend of {phase} out.")


def page_size(given: int | None, point: OperatingPoint) -> int:
    """Tokens of a page of SGLang's: `given` by its user, else the point's, else one block.

    Raises EngineError where pages are no whole blocks, or the two disagree.
    """
    size = given or point.page_size or point.block_size
    if size % point.block_size:
        raise EngineError(f"a page of {size} tokens is no whole number of blocks of {point.block_size}",
                          hint=f"Leave --page-size out, or give a multiple of {point.block_size}.")
    if point.page_size is not None and size != point.page_size:
        raise EngineError(f"--page-size says {size} tokens, and the operating point {point.page_size}",
                          hint="Leave one of the two out.")
    return size


def check_flow(graph: Graph, point: OperatingPoint, shape: ModelShape) -> None:
    """That the flow is made for a model of this shape, that of one rank. Raises EngineError."""
    wanted, found = shape.geometry(point.block_size), graph.geometry
    if found.latent and not wanted.latent:
        raise EngineError(f"the flow {graph.name} is for latent attention (MLA), and the model has keys and values of its own",
                          hint="Write it as a vFlow, or choose a model with MLA.")
    if wanted.latent and not found.latent:
        raise EngineError(f"the model attends by latents (MLA), and the flow {graph.name} is for keys and values",
                          hint="Write it as a vFlowMLA, or choose one: vortex flows lists those that are built in.")
    if found != wanted:
        raise EngineError(f"the flow was traced for {found}, and a rank of this server has {wanted}",
                          hint="Trace it for the model that is served, at this block size and tensor parallel size.")
    if point.block_size == 1:
        raise EngineError("blocks of one token are not served in SGLang: its padding page then holds one token, and steps that "
                          "are measured need two", hint="Set block_size to 2 or more.")
    if point.renew_every > 1:
        raise EngineError(f"lists that serve {point.renew_every} steps are not served in SGLang",
                          hint="Set renew_every = 1, or take the embedded engine.")


def check_state(graph: Graph, attention_dp: bool) -> None:
    """Raises EngineError for a flow with state where SGLang may make a prefill of rows that decode."""
    if graph.states and attention_dp:
        raise EngineError(f"{graph.name} keeps state of each request, and misses the steps that --enable-dp-attention makes "
                          "prefills of", hint="Leave --enable-dp-attention out, or choose a flow without state.")
