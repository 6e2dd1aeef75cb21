"""A Program of kernels equals the reference at any shape, budget and layout, whatever stood in memory before."""
import pytest
import torch

from tests.compiler.kernels.numerics import DEVICE, KernelWorld, geometry_of, made
from tests.compiler.world import LAYER, built_in, written
from vortex.compiler import reference
from vortex.compiler.kernels.generate import generate
from vortex.compiler.kernels.program import TritonProgram
from vortex.compiler.kernels.sources import Types
from vortex.compiler.kernels.workspace import Worklist
from vortex.compiler.program import Lists
from vortex.config import OperatingPoint
from vortex.errors import CompileError
from vortex.ir import Geometry, Graph

GEOMETRY = Geometry(block_size=16, head_dim=16, group=2)
POINT = OperatingPoint(topk_val=2, topk_ratio=0.25)
MIXED = [16, 97, 130]                 # one block, which fits; more than the budget of 5 blocks; more
STATEFUL = "s = cache.state('s', first=1.0)\nnew = s * 0.5 + q.mean(dim=1) @ cache['c'].T\ncache['s'] = new\nreturn ops.topk(new)"


@pytest.mark.parametrize(("size", "group", "channels"), [(1, 1, 32), (4, 5, 20), (16, 7, 32), (32, 4, 20)])
@pytest.mark.parametrize("name", ["centroid", "quest"])
def test_odd_shapes(name: str, size: int, group: int, channels: int) -> None:
    point = POINT.with_(block_size=size)
    KernelWorld(built_in(name, geometry_of(name, size, group, channels)), point, [1, 9 * size + 1]).check()


@pytest.mark.parametrize(("size", "group"), [(1, 1), (16, 20)])
def test_odd_shapes_of_latent_attention(size: int, group: int) -> None:
    graph = built_in("mla-centroid", Geometry.of_latent(size, 24, 8, group))
    KernelWorld(graph, POINT.with_(block_size=size), [1, 7 * size + 1], heads=1).check()


@pytest.mark.parametrize(("heads", "page"), [(1, 4), (3, 1)])
def test_heads_and_pages(heads: int, page: int) -> None:
    KernelWorld(built_in("centroid", GEOMETRY), POINT, list(MIXED), heads=heads, page=page).check()


@pytest.mark.parametrize("changes", [
    {"topk_val": 0, "topk_ratio": 0.0},                                   # nothing chosen by score
    {"topk_val": 0, "topk_ratio": 1.0},                                   # everything fits
    {"block_reserved_bos": 0, "block_reserved_eos": 1},
    {"block_reserved_bos": 3, "block_reserved_eos": 4, "topk_val": 1},
    {"topk_layers": (9, 9, 9, (1, 40))},                                  # one head selects beside one that is dense
    {"ratio_layers": (1.0, (0.5, 0.3)), "topk_val": 0},
    {"schedule_policy": "cached_block_len / 4 + 2"},
    {"schedule_policy": "int n = 3; if (cached_block_len > 8) { n = topk_val + 4; } return n;"},
    {"topk_layers": ((0, 3),), "block_reserved_bos": 2},
])
def test_budgets_are_those_of_the_point(changes: dict[str, object]) -> None:
    KernelWorld(built_in("centroid", GEOMETRY), POINT.with_(**changes), list(MIXED)).check()


@pytest.mark.parametrize(("name", "dtype"), [("centroid", "bfloat16"), ("quest", "float16"), ("running-average", "bfloat16"),
                                             ("running-average", "float16"), ("twilight", "bfloat16")])
def test_rounding_happens_into_fields_only(name: str, dtype: str) -> None:
    world = KernelWorld(built_in(name, GEOMETRY), POINT.with_(dtype=dtype), [111])
    for _ in range(2):
        world.check()
        world.grow()


@pytest.mark.parametrize("body", [
    "return ops.top_p(q.mean(dim=1) @ cache['c'].T, 0.6)",
    "return ops.threshold(q.mean(dim=1) @ cache['c'].T, 0.1)",
    "return ops.topk(q.mean(dim=1) @ cache['c'].T, k=2) | ops.topk(ops.position(), k=3)",
    "return ops.top_p(q.mean(dim=1) @ cache['c'].T, 0.5) | ops.threshold(q.max(dim=1) @ cache['hi'].T, 5.0)",
    STATEFUL.replace("return ops.topk(new)", "return ops.topk(new) | ops.everything()"),
    "return ops.topk((q.mean(dim=1) @ cache['c'].T) * 0.0)",              # all equal
    "return ops.topk((q.mean(dim=1) @ cache['c'].T).log())",              # NaN below zero
    "return ops.topk(ops.where(ops.random() > 0.5, ops.position(), 0.0))",
    "return ops.topk(ops.where(ops.position() / 3.0 == 2.0, 1.0, 0.0))",  # a quotient that a GPU has to round as a CPU does
    "s = ops.normalize(q.mean(dim=1) @ cache['c'].T)\nreturn ops.topk(ops.conv(s, [0.5, 0.5]) * s.max(dim=0))",
    "return ops.topk((q @ cache['k'].T).max(dim=2).mean(dim=1))",         # keys themselves
    "return ops.topk((q @ cache['p'].T).max(dim=1)[..., 1:2])",
    "return ops.topk((q @ ops.mask(cache['k'], 3, 9, dim=2).T).max(dim=2).mean(dim=1))",     # the same in every block
])
def test_rules_and_patterns(body: str) -> None:
    KernelWorld(written(body, GEOMETRY), POINT, [16, 120]).check()


def test_tokens_that_are_alike_are_ranked_apart() -> None:
    """Equal likeness is equal from wherever it is asked for: no token stands before itself, and none is left out."""
    world = KernelWorld(built_in("infllm", GEOMETRY), POINT, [160])
    for block in world.blocks[0][:10]:
        world.k[:, block, 9:14] = world.k[:, block, 2:3]
    done = torch.tensor(world.blocks[0][:10], device=world.k.device)
    world.program.update(world.fields, world.state, world.k, world.v, done, LAYER)
    for block in world.blocks[0][:10]:
        k, v = world.k[0, block].float().cpu(), world.v[0, block].float().cpu()
        right = reference.summarise(world.graph, POINT, k, v, layer=LAYER)
        torch.testing.assert_close(world.fields["tokens"][0, block].float().cpu(), right["tokens"])


def test_state_lives_through_completions_and_renewals() -> None:
    world = KernelWorld(written(STATEFUL, GEOMETRY), POINT.with_(renew_every=2), [95, 140])
    for _ in range(5):
        world.check()
        world.grow()


def test_a_program_serves_smaller_batches_after_larger_ones() -> None:
    """Its scratch is full of the last step's numbers then."""
    graph, program = built_in("centroid", GEOMETRY), made(built_in("centroid", GEOMETRY), POINT)
    for lens in ([130, 150, 97], [33, 160], [1], [100, 17]):
        KernelWorld(graph, POINT, lens, make=lambda *_: program).check()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("body", [
    "return ops.topk(q.mean(dim=1) @ cache['c'].T)",
    "return ops.top_p(q.mean(dim=1) @ cache['c'].T, 0.6) | ops.topk(ops.position(), k=2)",
])
def test_selection_is_the_same_in_the_launch_that_scores_and_in_its_own(body: str, fused: bool) -> None:
    def program(graph: Graph, point: OperatingPoint) -> TritonProgram:
        return TritonProgram(graph, point, DEVICE, fused=fused)

    KernelWorld(written(body, GEOMETRY), POINT, [16, 120], make=program).check()


def test_large_states_made_of_each_other_are_all_read_before_any_is_written() -> None:
    """More numbers a block than a tile usually has."""
    body = "a = cache.state('a', first=1.0)\nb = cache.state('b', first=2.0)\n" \
           "cache['a'] = b + cache['k'] * 0.5\ncache['b'] = a\nreturn ops.topk(q.mean(dim=1) @ (a + b).mean(dim=1).T)"
    world = KernelWorld(written(body, Geometry(block_size=16, head_dim=544, group=2)), POINT, [95], heads=1)
    for _ in range(2):
        world.check()
        world.grow()


def test_indices_of_one_size_may_differ_in_width_within_a_kernel() -> None:
    """Beside a product on tensor cores pairs are padded to 8, beside a state there is room for two."""
    body = "s = q @ cache['k'].T\ncache['s'] = cache.state('s', first=0.0) + cache['k'].mean(dim=1, every=2)\n" \
           "return ops.topk(s.max(dim=2, every=2).max(dim=2).mean(dim=1))"
    graph = written(body, Geometry(block_size=128, head_dim=64, group=2))
    KernelWorld(graph, POINT.with_(block_size=128), [128 * 9 + 3], heads=1).check()


def test_a_state_that_no_chip_holds_is_refused() -> None:
    body = "cache['a'] = cache.state('a', first=1.0) * 0.5 + cache['k']\nreturn ops.topk(q.mean(dim=1) @ cache['c'].T)"
    with pytest.raises(CompileError, match="131,072 numbers"):
        generate(written(body, Geometry(block_size=128, head_dim=1024, group=2)), POINT.with_(block_size=128), Types())


@pytest.mark.parametrize("name", ["centroid", "twilight", "running-average"])
def test_a_plan_at_fixed_addresses_is_planned_anew_over_whatever_stood_there(name: str) -> None:
    world = KernelWorld(built_in(name, GEOMETRY), POINT, [95, 3])
    fixed = world.program.prepare(requests=2, heads=world.heads, blocks=20, device=world.k.device)
    for _ in range(2):
        told, q = world.plan(), world.query()
        fixed.inputs.lens.copy_(torch.tensor(told.lens))
        fixed.inputs.seeds.copy_(torch.tensor(told.seeds))
        fixed.inputs.tables[:, :told.tables.shape[1]] = told.tables
        for planned in fixed.planned.values():
            for tensor in poisoned(planned.worklist):
                tensor.fill_(0x7f7f7f7f)
        world.program.begin(fixed)
        lists = world.program.select(fixed, q, world.k, world.v, world.fields, world.state, LAYER)
        out = world.program.attend(fixed, q, world.k, world.v, lists, GEOMETRY.head_dim ** -0.5)
        beyond = torch.arange(lists.index.shape[2], device=q.device) >= lists.counts[..., None]
        known = Lists(index=lists.index.long().masked_fill(beyond, 0), counts=lists.counts.long())
        torch.testing.assert_close(out, world.program.attend(told, q, world.k, world.v, known, GEOMETRY.head_dim ** -0.5))
        world.judge(told, q, known)
        world.grow()


def poisoned(work: Worklist) -> tuple[torch.Tensor, ...]:
    """What a step writes before it reads it; tickets are 0 between launches."""
    return work.blocks, work.end, work.most, work.starts, work.items, work.counts, work.index, work.scores


def test_lists_are_ascending_in_range_and_zero_beyond_their_counts() -> None:
    world = KernelWorld(built_in("centroid", GEOMETRY), POINT, list(MIXED))
    plan, q = world.plan(), world.query()
    lists = world.program.select(plan, q, world.k, world.v, world.fields, world.state, LAYER)
    for request, blocks in enumerate(plan.blocks):
        for head in range(world.heads):
            count = int(lists.counts[request, head])
            own = lists.index[request, head]
            assert count == min(blocks, 5)
            assert own[0] == 0 and own[count - 1] == blocks - 1
            assert bool((own[:count].diff() > 0).all()) and not bool(own[count:].any())


@pytest.mark.parametrize("lens", [[1], [3, 16, 97]])
def test_dense_attention_reads_every_block_in_place(lens: list[int]) -> None:
    world = KernelWorld(built_in("dense", GEOMETRY), POINT, list(lens))
    plan = world.plan()
    world.judge(plan, world.query(), None)


def test_an_unwritten_block_is_never_read() -> None:
    """NaN in every block that is not a request's own reaches neither scores nor attention."""
    world = KernelWorld(built_in("quest", GEOMETRY), POINT, list(MIXED))
    mine = {block for own in world.blocks for block in own}
    others = torch.tensor([b for b in range(world.k.shape[1]) if b not in mine])
    world.k[:, others], world.v[:, others] = torch.nan, torch.nan
    world.check()
