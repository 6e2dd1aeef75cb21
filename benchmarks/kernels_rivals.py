"""What others offer for the same work, on the same memory: torch's SDPA, FlexAttention, FlashInfer where it is installed."""
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as functional
from kernels_clock import REFUSALS, Call
from kernels_scene import FEATURED, LAYER, Copy, Data, Scene
from torch.nn.attention.flex_attention import flex_attention

from vortex.compiler.cpu import CpuProgram
from vortex.compiler.program import Lists

WORKSPACE_BYTES = 256 << 20


def contiguous(data: Data, pool: torch.Tensor) -> torch.Tensor:
    """The pool's memory as if requests lay in it side by side: [B, H, T, D], a view."""
    heads, _, size, channels = pool.shape
    return pool.view(heads, data.batch, data.blocks * size, channels).transpose(0, 1)[:, :, :data.context]


def each(data: Data, form: Callable[[Copy], object]) -> list[Call]:
    """The form as calls, one a copy."""
    return [lambda copy=copy: form(copy) for copy in data.copies]  # type: ignore[misc]


def dense_forms(data: Data) -> Mapping[str, Sequence[Call]]:
    """Dense decode attention."""

    def folded(copy: Copy) -> object:
        return functional.scaled_dot_product_attention(copy.q, contiguous(data, copy.k), contiguous(data, copy.v))

    def grouped(copy: Copy) -> object:
        q = copy.q.flatten(1, 2)[:, :, None]
        return functional.scaled_dot_product_attention(q, contiguous(data, copy.k), contiguous(data, copy.v), enable_gqa=True)

    def flexed(copy: Copy) -> object:
        q = copy.q.flatten(1, 2)[:, :, None]
        return flex_compiled(q, contiguous(data, copy.k), contiguous(data, copy.v), enable_gqa=True)

    found: dict[str, Sequence[Call]] = {
        "torch sdpa, heads folded": each(data, folded), "torch sdpa, enable_gqa": each(data, grouped)}
    if data.copies[0].q.is_cuda and (data.batch, data.context) in FEATURED:      # compiled anew for each shape, in seconds
        torch.compiler.reset()
        flex_compiled = torch.compile(flex_attention, dynamic=False)
        found["torch flex_attention"] = each(data, flexed)
    if find_spec("flashinfer") is not None:
        found["flashinfer paged"] = attempted(lambda: flashinfer_calls(data, None))
    return found


def attempted(make: Callable[[], Sequence[Call]]) -> Sequence[Call]:
    """The calls, or one that raises what making them did: it is told where the form would stand."""
    try:
        return make()
    except REFUSALS as error:
        told = error

        def refuse() -> object:
            raise told
        return [refuse]


def flashinfer_calls(data: Data, lists: Lists | None) -> Sequence[Call]:
    """FlashInfer's paged decode: a kv head of a request is a request of its own, so that each may have its own list.

    Its plan is made by the host beforehand and not timed.
    """
    import flashinfer  # its home is serving; here it is a rival, where it happens to be installed

    pools = data.copies[0].k
    heads, per_head = pools.shape[:2]
    rows, group = data.batch * heads, data.copies[0].q.shape[2]
    tables = data.tables[:, None].long() + torch.arange(heads, device=pools.device)[None, :, None] * per_head
    if lists is None:
        counts, pages = torch.full((rows,), data.blocks, device=pools.device), tables.reshape(-1)
    else:
        real = torch.arange(lists.index.shape[2], device=pools.device) < lists.counts[..., None]
        counts, pages = lists.counts.flatten(), tables.gather(2, lists.index.long().where(real, 0))[real]
    starts = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).int()
    last = torch.full((rows,), (data.context - 1) % data.point.block_size + 1, dtype=torch.int32, device=pools.device)
    space = torch.empty(WORKSPACE_BYTES, dtype=torch.uint8, device=pools.device)
    wrapper: Any = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
        space, "HND", use_cuda_graph=True, use_tensor_cores=True, paged_kv_indptr_buffer=starts.clone(),
        paged_kv_indices_buffer=pages.int().clone(), paged_kv_last_page_len_buffer=last.clone())
    wrapper.plan(starts, pages.int(), last, group, 1, pools.shape[3], data.point.block_size, q_data_type=pools.dtype,
                 kv_data_type=pools.dtype, sm_scale=data.scale)

    def run(copy: Copy) -> object:
        paged = tuple(pool.view(heads * per_head, 1, *pool.shape[2:]) for pool in (copy.k, copy.v))
        return wrapper.run(copy.q.view(rows, group, -1), paged)

    return each(data, run)


def attend_forms(scene: Scene) -> Mapping[str, Sequence[Call]]:
    """Attention over the lists that the flow has chosen of the first copy."""
    if find_spec("flashinfer") is None:
        return {}
    return {"flashinfer paged": attempted(lambda: flashinfer_calls(scene.data, scene.lists))}


def unfused(scene: Scene) -> Sequence[Call]:
    """Score and selection op by op, in torch; what the host needs to know of the step it has looked up beforehand."""
    data = scene.data
    program = CpuProgram(scene.graph, scene.program.point)
    plan = program.plan([data.context] * data.batch, data.tables.long(), range(data.batch))
    return [lambda at=at: program.select(plan, data.copies[at].q, data.copies[at].k, data.copies[at].v,   # type: ignore[misc]
                                         *scene.pools[at], LAYER) for at in range(len(data.copies))]


def torch_topk(scene: Scene) -> Sequence[Call]:
    """The best of every row's scores, all rows of one length, in no order."""
    work, point = scene.work, scene.program.point
    first, last = point.block_reserved_bos, scene.data.blocks - point.block_reserved_eos
    scores, k = work.scores[0, :, first:last], int(work.most[0, 0])
    return [lambda: torch.topk(scores, k, sorted=False)]
