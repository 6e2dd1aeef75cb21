"""What a server is given to serve: a flow at the model's sizes and its point, from a name, a file or a bundle."""
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli.served import served
from search.candidate import flow_record
from search.export import Provenance, write_bundle
from tests.search.made import dense, entry, graph
from vortex import flows
from vortex.config import OperatingPoint
from vortex.errors import EngineError, PointError, VortexError
from vortex.ir import Geometry

PROBE = Geometry(block_size=16, head_dim=64, group=2)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Of a flow that was found at other sizes than the probe's."""
    assert graph().geometry != PROBE
    made = entry(23)
    point = OperatingPoint(topk_ratio=0.1, layers_skip=(0,), model="another", dtype="bfloat16")
    candidate = replace(made.candidate, flow=flow_record("centroid", flows.read("centroid")[1], graph()), point=point)
    return write_bundle(replace(made, candidate=candidate), Provenance(seed=7, settings={}, dense=dense()), tmp_path / "bundle")


def test_without_a_flow_the_model_is_served_densely() -> None:
    found = served("probe", None, None, None, [])
    assert (found.graph, found.name, found.text) == (None, "dense", "none: dense")
    assert (found.point.model, found.point.engine) == ("probe", "sglang")


def test_a_flow_is_traced_at_the_sizes_of_the_model_and_of_its_ranks() -> None:
    found = served("probe", "quest", None, None, ["topk_ratio=0.25", "block_size=32"])
    assert found.graph is not None and found.graph.geometry == Geometry(block_size=32, head_dim=64, group=2)
    assert found.text == "quest, 0.25 of the blocks, block size 32"
    assert served("probe", "quest", None, None, [], ranks=2).graph == served("probe", "quest", None, None, []).graph
    one_head_each = served("probe", "quest", None, None, [], ranks=4).graph
    assert one_head_each is not None and one_head_each.geometry.group == 1, "two ranks share a kv head's query heads out"


def test_a_file_without_a_flow_is_refused_and_not_served_densely(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(VortexError, match="flow"):
        served("probe", str(tmp_path / "empty.py"), None, None, [])


def test_a_bundle_serves_on_another_model_with_its_point(bundle: Path) -> None:
    found = served("probe", None, bundle, None, [])
    assert found.graph is not None and found.graph.geometry == PROBE
    assert (found.point.topk_ratio, found.point.layers_skip, found.point.dtype) == (0.1, (0,), "bfloat16")
    assert found.point.model == "probe"


def test_a_point_of_a_file_holds_over_what_the_flow_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "point.toml"
    file.write_text("[point]\ntopk_val = 29\ntopk_ratio = 0.0\n")
    found = served("probe", "quest", None, file, ["dense_below=512"])
    assert (found.point.topk_val, found.point.dense_below) == (29, 512)
    assert found.text == "quest, 29 blocks, block size 16"


@pytest.mark.parametrize(("flow", "changes", "ranks", "kind", "what"), [
    ("quest", ["renew_every=2"], 1, EngineError, "lists that serve 2 steps"),
    ("quest", ["topk_layers=[1,2,3,4,5]"], 1, EngineError, "has 5 entries"),
    ("quest", [], 3, EngineError, "not shared evenly by 3 ranks"),
    ("quest", ["dense_below=-1"], 1, PointError, "dense_below"),
])
def test_what_does_not_fit_is_refused_before_anything_starts(flow: str, changes: list[str], ranks: int, kind: type[VortexError],
                                                             what: str) -> None:
    with pytest.raises(kind, match=what):
        served("probe", flow, None, None, changes, ranks)
