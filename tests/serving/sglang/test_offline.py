"""What SGLang's engine with a flow takes: ours and the upstream's forms, told apart from SGLang's own settings."""
import json
from typing import Any

import pytest

from tests.compiler.world import built_in
from vortex.config import OperatingPoint, VortexConfig
from vortex.errors import VortexError
from vortex.ir import Geometry
from vortex.serving.sglang.offline import taken

CONFIG = VortexConfig(module_name="quest", topk_val=12, layers_skip=(0,))
GRAPH = built_in("quest", Geometry(16, 32, 4))


@pytest.mark.parametrize("given", [
    {"vortex_config": CONFIG}, {"vortex_config": CONFIG.model_dump()}, {"vortex_config": CONFIG.model_dump_json()},
    {"vortex": CONFIG}, {"vortex": json.dumps({"module_name": "quest", "topk_val": 12, "layers_skip": [0]})},
    {"enable_vortex_sparsity": True, "vortex_module_name": "quest", "vortex_topk_val": 12, "vortex_layers_skip": [0]},
])
def test_every_form_of_the_upstream_is_taken(given: dict[str, Any]) -> None:
    settings, rest = taken(**given, tp_size=2, attention_backend="flashinfer")
    assert (settings.named, settings.point.topk_val, settings.point.layers_skip) == ("quest", 12, (0,))
    assert rest == {"tp_size": 2}


def test_ours_are_taken() -> None:
    point = OperatingPoint(model="m", engine="sglang", topk_val=3)
    named, _ = taken(flow="quest", point=point)
    traced, rest = taken(graph=GRAPH, point=point, page_size=32)
    assert (named.named, traced.flow(), rest) == ("quest", GRAPH, {"page_size": 32})
    assert named.point == traced.point == point


@pytest.mark.parametrize("given", [{}, {"enable_vortex_sparsity": False, "vortex_module_name": "quest"}])
def test_without_a_flow_it_is_dense(given: dict[str, Any]) -> None:
    settings, rest = taken(**given)
    assert settings.flow() is None and not rest


@pytest.mark.parametrize(("given", "what"), [
    ({"flow": "quest", "graph": GRAPH}, "more than one flow"), ({"flow": "quest", "vortex_config": CONFIG}, "more than one flow"),
    ({"vortex_config": CONFIG, "point": OperatingPoint()}, "beside a config"), ({"flow": "nobody"}, "no flow 'nobody'"),
    ({"flow": "quest", "attention_backend": "triton"}, "serves no flow"), ({"vortex_config": "{"}, "not JSON"),
    ({"enable_vortex_sparsity": True, "vortex_topk_val": 0, "vortex_module_name": "quest"}, "topk_val"),
])
def test_what_cannot_be_is_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(VortexError, match=what):
        taken(**given)
