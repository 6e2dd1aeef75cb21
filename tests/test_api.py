"""The door for programs outside: flows from text, files and names; steps that equal the reference; one clear refusal each."""
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import vortex
from vortex import flows
from vortex.compiler import reference
from vortex.errors import FlowContractError, FlowNotFound, FlowSyntaxError, VortexError
from vortex.ir import Geometry

POINT = vortex.OperatingPoint(model="", block_size=16, topk_val=2, topk_ratio=0.0)
TWO = '''
from vortex import ops, register, vFlow


@register("first")
class First(vFlow):
    def forward_indexer(self, q, cache):
        return ops.everything()


@register("second")
class Second(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["c"].T)
'''
KEEPING = '''
from vortex import ops, register, vFlow


@register("keeping")
class Keeping(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        score = 0.5 * cache.state("seen", first=0.25) + q.mean(dim=1) @ cache["c"].T
        cache["seen"] = score
        return ops.topk(score)
'''


def made(lens: list[int], heads: int = 2, group: int = 2, channels: int = 16, seed: int = 0) -> tuple[Any, Any, Any]:
    random = torch.Generator().manual_seed(seed)
    k, v = ([torch.randn(n, heads, channels, generator=random) for n in lens] for _ in range(2))
    return torch.randn(len(lens), heads * group, channels, generator=random), k, v


def grown(x: list[torch.Tensor], by: int, seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.cat([one, torch.randn(by, *one.shape[1:], generator=random)]) for one in x]


def rows(q: torch.Tensor, k: Any, v: Any, **more: int) -> list[list[reference.Row]]:
    heads = k[0].shape[1]
    group = q.shape[1] // heads
    return [[reference.Row(q=q[b, h * group:(h + 1) * group], k=k[b][:, h], v=v[b][:, h], head=h, seed=b, **more)
             for h in range(heads)] for b in range(len(k))]


def test_importing_and_loading_need_no_torch() -> None:
    code = ("import sys, vortex\nvortex.OperatingPoint(block_size=16)\nvortex.load_flow('quest')\n"
            "print([name for name in ('torch', 'transformers') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_examples_of_the_page_run() -> None:
    page = (Path(__file__).parent.parent / "docs" / "reference" / "api.md").read_text()
    found = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(found) >= 5
    exec("\n".join(found), {})


def test_a_flow_comes_from_text_a_file_or_a_name(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text(TWO)
    named = [vortex.load_flow(given, name).name for given in (TWO, path, str(path)) for name in (None, "first", "second")]
    assert named == ["second", "first", "second"] * 3
    ours, theirs = (vortex.load_flow(given).graph(Geometry()) for given in ("quest", "gqa_quest_sparse_attention"))
    assert ours.hash == theirs.hash


@pytest.mark.parametrize(("given", "name", "error"), [
    ("", None, FlowContractError), ("\n", None, FlowContractError), ("class\n", None, FlowSyntaxError),
    (TWO, "third", VortexError),
    ("nowhere", None, FlowNotFound), ("no/such/file.py", None, FlowNotFound), (Path("no/such/file.py"), None, FlowNotFound),
    (Path("/"), None, FlowNotFound), (3, None, FlowNotFound), (None, None, FlowNotFound), ("\ud800\n", None, VortexError),
    ("a\0b", None, FlowNotFound), ("a\0b\n", None, VortexError), ("import os\n", None, VortexError),
    (TWO.replace("ops.topk", "ops.top"), None, VortexError), (TWO.replace("dim=1", "dim=7"), None, VortexError),
])
def test_what_check_refuses_is_refused(given: Any, name: str | None, error: type[VortexError]) -> None:
    with pytest.raises(error) as caught:
        vortex.load_flow(given, name)
    assert caught.value.message


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(flows.ALGORITHMS), st.lists(st.integers(1, 300), min_size=1, max_size=3), st.sampled_from([1, 2, 5]),
       st.sampled_from([1, 3]), st.sampled_from([16, 32, 64]), st.integers(0, 99))
def test_a_step_equals_the_reference(name: str, lens: list[int], group: int, heads: int, page: int, seed: int) -> None:
    flow, point = vortex.load_flow(name), POINT.with_(page_size=page)
    q, k, v = made(lens, heads, group, seed=seed)
    graph = flow.graph(Geometry(16, 16, group))
    step = vortex.decode_step(flow, q, k, v, point)
    for b, of_request in enumerate(rows(q, k, v)):
        for h, row in enumerate(of_request):
            right = reference.run(graph, point, row)
            if step.blocks[b][h] == list(right.blocks):       # else equal but for the order of float operations
                torch.testing.assert_close(step.output[b, h * group:(h + 1) * group], right.output, rtol=1e-4, atol=1e-4)
            else:
                assert len(step.blocks[b][h]) == len(right.blocks)
                assert right.score is not None
                odd = [float(right.score[i]) for i in set(step.blocks[b][h]) ^ set(right.blocks)]
                assert max(odd) - min(odd) < 1e-4 * max(1.0, *map(abs, odd))


def test_state_and_renewal_go_on_from_step_to_step() -> None:
    flow = vortex.load_flow(KEEPING)
    graph = flow.graph(Geometry(16, 16, 2))
    q, k, v = made([150, 40, 300])
    for every in (1, 3):
        point = POINT.with_(renew_every=every, page_size=32)
        state, last = None, [[None] * 2 for _ in k]
        keys, values = k, v
        for step in range(7):
            q = made([1, 1, 1], seed=step)[0]
            blocks, state = vortex.select_blocks(flow, q, keys, values, point, state)
            for b, of_request in enumerate(rows(q, keys, values, step=step)):
                for h, row in enumerate(of_request):
                    before: Any = last[b][h]
                    right = reference.run(graph, point, row, before.state if before else None, last=before)
                    last[b][h] = right
                    assert blocks[b][h] == list(right.blocks), (every, step, b, h)
            keys, values = grown(keys, 1 + 5 * (step % 2), step), grown(values, 1 + 5 * (step % 2), step + 50)


def test_layers_have_modes_budgets_and_reuse() -> None:
    point = POINT.with_(layer_modes=["dense", "select", "reuse"], topk_layers=(9, (1, 3), 2))
    q, k, v = made([200, 20])
    blocks, state = vortex.select_blocks("quest", q, k, v, point)
    assert [[len(own) for own in of] for of in blocks] == [[4, 6], [2, 2]]                   # layer 1, by its table
    dense, _ = vortex.select_blocks("quest", q, k, v, point, layer=0)
    assert dense == [[list(range(13))] * 2, [[0, 1]] * 2]
    reused = vortex.decode_step("quest", q, k, v, point, state, layer=2)
    assert reused.blocks == blocks
    with pytest.raises(VortexError, match="layer 2 reuses the lists"):
        vortex.select_blocks("quest", q, k, v, point, layer=2)
    with pytest.raises(VortexError, match="topk_layers has 2 values for layer 1, and there are 1 kv heads"):
        vortex.select_blocks("quest", q, [x[:, :1] for x in k], [x[:, :1] for x in v], point)


def test_seeds_are_whole_numbers_of_either_library() -> None:
    q, k, v = made([200, 200])
    drawn = [vortex.select_blocks("random", q, k, v, POINT, seeds=seeds).blocks for seeds in ([3, 4], np.arange(3, 5).tolist())]
    assert drawn[0] == drawn[1] == vortex.select_blocks("random", q, k, v, POINT, seeds=list(np.arange(3, 5))).blocks


def test_everything_attended_is_dense_attention() -> None:
    q, k, v = made([77, 16])
    out = vortex.attend("dense", q, k, v, POINT)
    for b, of_request in enumerate(rows(q, k, v)):
        for h, row in enumerate(of_request):
            weights = torch.softmax(row.q @ row.k.T / math.sqrt(16), dim=1)
            torch.testing.assert_close(out[b, 2 * h:2 * h + 2], weights @ row.v, rtol=1e-4, atol=1e-5)


def test_latent_flows_take_latents_alone() -> None:
    random = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 5, 72, generator=random), [torch.randn(n, 1, 72, generator=random) for n in (200, 30)]
    step = vortex.decode_step("mla-centroid", q, k, None, POINT)
    assert step.output.shape == (2, 5, 64)
    graph = vortex.load_flow("mla-centroid").graph(Geometry.of_latent(16, 64, 8, 5))
    for b, x in enumerate(k):
        right = reference.run(graph, POINT, reference.Row(q=q[b], k=x[:, 0], v=x[:, 0, :64]))
        assert step.blocks[b] == [list(right.blocks)]
        torch.testing.assert_close(step.output[b], right.output, rtol=1e-4, atol=1e-5)
    assert vortex.attend("mla-centroid", q, k, [x[..., :40] for x in k], POINT).shape == (2, 5, 40)
    assert vortex.attend("mla-centroid", q, k, None, POINT, kv_lora_rank=56).shape == (2, 5, 56)
    with pytest.raises(VortexError, match="kv_lora_rank is not known for 70 channels"):
        vortex.attend("mla-centroid", q[..., :70], [x[..., :70] for x in k], None, POINT)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_float_dtype_is_taken_and_numpy_gives_numpy(dtype: torch.dtype) -> None:
    q, k, v = made([200])
    given = (q.to(dtype), [x.to(dtype) for x in k], [x.to(dtype) for x in v])
    plain = tuple(x.float() if isinstance(x, torch.Tensor) else [one.float() for one in x] for x in given)
    out = vortex.attend("quest", *given, POINT)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, vortex.attend("quest", *plain, POINT))
    arrays = vortex.attend("quest", plain[0].numpy(), [x.numpy() for x in plain[1]], [x.numpy() for x in plain[2]], POINT)
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_array_equal(arrays, out.numpy())


def test_nan_is_allowed() -> None:
    q, k, v = made([200])
    k[0][40:60] = math.nan
    blocks, _ = vortex.select_blocks("centroid", q, k, v, POINT)
    assert all(not {2, 3} & set(own) for own in blocks[0])


Q, K, V = made([40, 50])


@pytest.mark.parametrize(("q", "k", "v", "options", "said"), [
    (torch.empty(0, 4, 16), [], [], {}, r"q has the shape \[0, 4, 16\]"), (Q, [], [], {}, "k is 0 entries, and q has 2 requests"),
    (Q, K[:1], V, {}, "k is 1 entries, and q has 2 requests"), (Q, K, V[:1], {}, "v is 1 entries, and q has 2 requests"),
    (Q, K, None, {}, "there is no v"), (Q[0], K, V, {}, r"q has the shape \[4, 16\]"), (Q[:, :3], K, V, {}, "3 query heads"),
    (Q[..., :8], K, V, {}, r"k\[0\] has the shape \[40, 2, 16\]; 2 kv heads of 8 channels"),
    (Q, [K[0], K[1][:, :1]], V, {}, r"k\[1\] has the shape \[50, 1, 16\]"), (Q, K, [V[0], V[1][:9]], {}, r"v\[1\] has the shape"),
    (Q, [K[0], K[1][:0]], V, {}, r"k\[1\] has the shape \[0, 2, 16\]"),
    (Q, [K[0], K[1][0]], V, {}, r"k\[1\] has the shape \[2, 16\]"),
    (Q.int(), K, V, {}, "q is torch.int32, and floats are due"), (Q.tolist(), K, V, {}, "q is list, and floats are due"),
    (Q, K[0], V, {}, "k is a Tensor, and q has 2 requests"), (Q, [K[0], "x"], V, {}, r"k\[1\] is str"),
    (Q.numpy().astype(int), K, V, {}, "q is int64, and floats are due"), (Q, K, V, {"seeds": [1]}, "1 seeds for 2 requests"),
    (Q, K, V, {"kv_lora_rank": 8}, "the flow is not latent"), (Q, K, V, {"sede": [1]}, "there is no option 'sede'"),
    (Q, K, V, {"state": 3}, "state is a int"), (Q, K, V, {"layer": -1}, "layer is -1"),
    (Q, K, V, {"point": {"block_size": 16}}, "point is a dict"), (Q, K, V, {"flow": "qest"}, "there is no flow 'qest'"),
    (Q, K, V, {"flow": "mla-centroid"}, "k.0. has 2 kv heads"), (Q, K, V, {"scale": "x"}, "scale is str"),
    (Q, K, V, {"scale": math.nan}, "scale is nan"), (Q, K, V, {"seeds": [1, "2"]}, "a seed is str"),
    (Q, K, V, {"seeds": [None, 2]}, "a seed is NoneType"),
    (Q, K, V, {"point": POINT.with_(schedule_policy="x")}, "x is not declared"),
])
def test_what_does_not_fit_is_one_clear_refusal(q: Any, k: Any, v: Any, options: dict[str, Any], said: str) -> None:
    options = {"flow": "quest", "point": POINT} | options
    flow, point = options.pop("flow"), options.pop("point")
    with pytest.raises(VortexError, match=said) as caught:
        vortex.decode_step(flow, q, k, v, point, **options)
    assert caught.value.hint


def test_a_state_belongs_to_its_requests_flow_and_layer() -> None:
    _, state = vortex.select_blocks("quest", Q, K, V, POINT)
    for flow, q, k, v, options, said in [
        ("quest", Q, [x[:30] for x in K], [x[:30] for x in V], {}, r"requests of \[40, 50\] tokens, and these have \[30, 30\]"),
        ("quest", Q[:1], K[:1], V[:1], {}, "the state is of requests"), ("centroid", Q, K, V, {}, "another flow"),
        ("quest", Q, K, V, {"layer": 1}, "another flow, geometry or layer"),
    ]:
        with pytest.raises(VortexError, match=said):
            vortex.select_blocks(flow, q, k, v, POINT, state, **options)


def test_a_flow_that_asserts_its_block_size_is_loaded_at_one_that_it_takes() -> None:
    odd = TWO.replace("(self, cache):\n        cache", "(self, cache):\n        assert self.block_size == 1\n        cache")
    flow = vortex.load_flow(odd)
    q, k, v = made([20])
    blocks, _ = vortex.select_blocks(flow, q, k, v, POINT.with_(block_size=1))
    assert [len(own) for own in blocks[0]] == [5, 5]
    with pytest.raises(FlowContractError):
        vortex.select_blocks(flow, q, k, v, POINT)
    with pytest.raises(FlowContractError):
        vortex.load_flow(odd.replace("== 1\n", "== 7\n"))


@pytest.mark.parametrize("body", ["assert self.head_dim == 64", "q = q.reshape(8, 32).reshape(4, 64)", "q += q.reshape(4, 64)"])
def test_a_flow_written_for_one_head_dim_is_loaded_at_it(body: str) -> None:
    narrow = TWO.replace("        return ops.topk(", f"        {body}\n        return ops.topk(")
    q, k, v = made([200], group=4, channels=64)
    assert [len(own) for own in vortex.select_blocks(vortex.load_flow(narrow), q, k, v, POINT).blocks[0]] == [5, 5]
    with pytest.raises(VortexError):
        vortex.load_flow(narrow.replace("64", "63"))


def test_a_flow_whose_parameters_fit_one_model_is_loaded_for_it() -> None:
    flow = vortex.load_flow("loki")
    q, k, v = made([200], channels=64)
    assert len(vortex.select_blocks(flow, q, k, v, POINT).blocks[0][0]) == 5
    q, k, v = made([200], channels=32)
    with pytest.raises(VortexError, match="inner sizes 32 and 64 differ"):
        vortex.select_blocks(flow, q, k, v, POINT)


LEARNED = '''
from vortex import ops, register, vFlowMLA


@register("learned")
class Learned(vFlowMLA):
    """One query of all heads, as a learned matrix of the layer makes it."""

    def forward_cache(self, cache):
        cache["c"] = cache["latent"].mean(dim=1)

    def forward_indexer(self, q, cache):
        query = q.reshape(1, q.shape[1] * q.shape[2]) @ ops.param("w.safetensors", "compress").T
        return ops.topk(query @ cache["c"].T)
'''


@pytest.mark.parametrize(("layers", "group", "channels"), [(2, 5, 36), (1, 20, 576)])
def test_a_learned_latent_flow_is_loaded_for_its_sizes(tmp_path: Path, layers: int, group: int, channels: int) -> None:
    weight = np.random.default_rng(0).standard_normal((layers, channels, group * channels)).astype(np.float32)
    save_file({"compress": weight}, tmp_path / "w.safetensors")
    (tmp_path / "learned.py").write_text(LEARNED)
    flow = vortex.load_flow(tmp_path / "learned.py")
    latent, q = made([200], heads=1, channels=channels)[1], made([200], heads=1, group=group, channels=channels)[0]
    blocks, _ = vortex.select_blocks(flow, q, latent, None, POINT, layer=layers - 1)
    means = latent[0][:176, 0].double().unflatten(0, (11, 16)).mean(1)[1:]
    scores = means @ torch.from_numpy(weight[-1]).double() @ q[0].double().flatten()
    assert blocks[0][0] == [0, *sorted((scores.topk(2).indices + 1).tolist()), 11, 12]
