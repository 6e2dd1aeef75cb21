"""Layers by mode, tables by layer and kv head, and renewal in the embedded engine: the reference, step by step."""
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import save_file

from tests.compiler.world import assert_same_blocks, built_in, written
from tests.serving.asks import SPARSE, ask, prompt, tokens, use
from vortex.compiler import reference
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load
from vortex.compiler.program import Lists
from vortex.compiler.selection import rules
from vortex.config import OperatingPoint
from vortex.errors import BudgetError, EngineError
from vortex.ir import Geometry
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Request

LENGTHS = (60, 150, 199)
PROMPTS = [prompt(length, length) for length in LENGTHS]
MODES = SPARSE.with_(layer_modes=("dense", "select", "reuse", "select"))
POINTS = {
    "modes": MODES, "renewal": SPARSE.with_(renew_every=3), "both": MODES.with_(renew_every=4),
    "tables": SPARSE.with_(topk_layers=((1, 40), 3, (6, 2)), ratio_layers=(0.0, (0.25, 0.5), 0.0)),
    "all": MODES.with_(renew_every=2, topk_layers=(0, (1, 40))),
}


def uneven() -> list[Request]:
    """They leave one after the other, so that those that stay are at different steps than those that come."""
    return [Request(id=str(i), tokens=p, max_new_tokens=3 + 3 * i, ignore_eos=True) for i, p in enumerate(PROMPTS)]


@pytest.mark.parametrize(("flow", "name"), [*(("running-average", name) for name in POINTS), ("quest", "all"),
                                            ("twilight", "tables")])
def test_every_list_is_the_references(probe: EmbeddedEngine, flow: str, name: str) -> None:
    point = POINTS[name]
    graph = built_in(flow, probe.geometry(16))
    probe.use(graph, point)
    with probe.record("qkv") as recording:
        list(probe.generate(uneven()))
    last: dict[tuple[str, int, int], reference.Outcome] = {}
    chosen: dict[tuple[str, int], list[int]] = {}
    steps: dict[tuple[str, int], int] = {}
    for event in recording.events:
        layer, mode = event["layer"], point.mode(event["layer"])
        for index, request in enumerate(event["requests"]):
            step = steps[request, layer] = steps.get((request, layer), -1) + 1
            for head, taken in enumerate(event["lists"][index]):
                if mode != "select":
                    blocks = -(-event["lens"][index] // 16)
                    assert taken == (list(range(blocks)) if mode == "dense" else chosen[request, head])
                    continue
                chosen[request, head] = taken
                row = reference.Row(q=event["q"][index][head], k=event["k"][index][head], v=event["v"][index][head],
                                    layer=layer, head=head, seed=event["seeds"][index], step=step)
                before = last.get((request, layer, head))
                right = reference.run(graph, point, row, before.state if before else None, last=before)
                assert_same_blocks(taken, right, rules(graph))
                last[request, layer, head] = right


@pytest.mark.parametrize("flow", ["quest", "running-average"])
@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_tokens_do_not_depend_on_the_company(probe: EmbeddedEngine, flow: str, point: OperatingPoint) -> None:
    use(probe, flow, point)
    together = tokens(probe, uneven())
    assert together == [tokens(probe, [request])[0] for request in uneven()]


def test_only_layers_that_select_keep_summaries(probe: EmbeddedEngine) -> None:
    use(probe, "running-average", MODES)
    tokens(probe, ask(PROMPTS[:1], tokens=2))
    assert probe._pool is not None
    assert [sorted(fields) for fields in probe._pool.fields] == [[], ["centroid"], [], ["centroid"]]
    assert [len(state) for state in probe._pool.state] == [0, 1, 0, 1]


@pytest.mark.parametrize(("point", "selections"), [(MODES, 2 * 6), (SPARSE.with_(renew_every=4), 4 * 2), (SPARSE, 4 * 6)])
def test_forced_decode_selects_as_often_as_the_point_says(probe: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch,
                                                          point: OperatingPoint, selections: int) -> None:
    select, layers = CpuProgram.select, list[int]()

    def noted(self: CpuProgram, *args: Any) -> Lists:
        layers.append(args[-1])
        return select(self, *args)

    monkeypatch.setattr(CpuProgram, "select", noted)
    use(probe, "quest", point)
    assert len(probe.forced_decode(2, 400, 6).seconds) == 6
    assert len(layers) == selections and {point.mode(layer) for layer in layers} == {"select"}


def test_state_begins_at_a_summary_in_prefill_decode_and_forced_decode(probe: EmbeddedEngine) -> None:
    body = "low = cache.state('low', first='c')\ncache['low'] = low * 0.5\nreturn ops.topk(q.mean(dim=1) @ low.T)"
    graph = written(body.replace("return", "_ = cache['c']\nreturn"), probe.geometry(16))
    probe.use(graph, SPARSE)
    for _ in range(2):
        probe.forced_decode(1, 400, 1)
        pool = probe._forced.pool if probe._forced else None
        assert pool is not None
        fields, state = pool.fields[0]["c"][:, 1:24], pool.state[0]["low"][:, 1:24]
        torch.testing.assert_close(state, fields * 0.5)


@pytest.mark.parametrize(("changes", "said"), [
    ({"model": ""}, "names no model"), ({"layer_modes": ("dense", "reuse")}, "layer 1 reuses the lists of a layer before it"),
    ({"layer_modes": ("reuse",)}, "layer 0 reuses"), ({"layer_modes": ("select",) * 5}, "5 entries; the model has 4 layers"),
    ({"layers_skip": (0,), "layer_modes": ("select", "reuse")}, "layer 1 reuses"),
    ({"topk_layers": (1, (1, 2, 3))}, "topk_layers has 3 values for layer 1; the model has 2 kv heads"),
    ({"ratio_layers": ((0.5,),)}, "ratio_layers has 1 values for layer 0"),
])
def test_points_that_do_not_fit_the_model_are_refused(probe: EmbeddedEngine, changes: dict[str, object], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        use(probe, "quest", SPARSE.with_(**changes))


def test_a_policy_that_cannot_be_read_is_refused_before_anything_runs(probe: EmbeddedEngine) -> None:
    with pytest.raises(BudgetError):
        use(probe, "quest", SPARSE.model_copy(update={"schedule_policy": "while (1);"}))


def test_a_budget_that_a_request_would_grow_into_is_refused_before_anything_runs(probe: EmbeddedEngine) -> None:
    use(probe, "quest", SPARSE.with_(topk_ratio=0.5, max_topk_val=6))
    with pytest.raises(BudgetError, match="a row of 20 blocks would choose 7 by score"):
        probe.generate(ask([prompt(300, 0)], tokens=12))
    assert tokens(probe, ask([prompt(200, 0)], tokens=2))


def test_latent_flows_are_refused(probe: EmbeddedEngine) -> None:
    with pytest.raises(EngineError, match="latent attention"):
        probe.use(built_in("mla-centroid", Geometry.of_latent()), SPARSE)


@pytest.mark.parametrize(("shape", "said"), [((3, 64, 8), "values for 3 layers, and layer 3 selects"),
                                             ((4, 5, 64, 8), "values for 5 kv heads; the model has 2")])
def test_a_parameter_file_of_another_model_is_refused(probe: EmbeddedEngine, tmp_path: Path, shape: tuple[int, ...],
                                                      said: str) -> None:
    save_file({"w": torch.ones(shape).numpy()}, tmp_path / "w.safetensors")
    text = ("from vortex import ops, register, vFlow\n\n\n@register('flow')\nclass Flow(vFlow):\n"
            "    def forward_indexer(self, q, cache):\n        w = ops.param('w.safetensors', 'w')\n"
            "        return ops.topk(((q @ w).max(dim=1) @ (cache['k'] @ w).T).max(dim=2))\n")
    (tmp_path / "flow.py").write_text(text)
    graph = load(text, str(tmp_path / "flow.py"), probe.geometry(16))
    with pytest.raises(EngineError, match=said):
        probe.use(graph, SPARSE)
