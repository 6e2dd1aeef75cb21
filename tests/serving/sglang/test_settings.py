"""What reaches SGLang's processes: one environment variable that holds JSON, or names its file."""
import json
from pathlib import Path

import pytest

from tests.compiler.world import built_in
from vortex.config import OperatingPoint
from vortex.errors import EngineError, GraphError, VortexError
from vortex.ir import Geometry
from vortex.serving.sglang.settings import VARIABLE, Settings, read_settings

GRAPH = built_in("quest", Geometry(16, 32, 2))
POINT = OperatingPoint(model="m", engine="sglang", topk_val=3, dense_below="never")


def test_what_is_put_down_is_found(tmp_path: Path) -> None:
    put = Settings(graph=GRAPH.to_json(), point=POINT).put(tmp_path)
    assert put == {VARIABLE: f"@{tmp_path / 'settings.json'}"}
    found = read_settings(put)
    assert found is not None and found.flow() == GRAPH
    assert (found.point, found.folder) == (POINT, str(tmp_path))


@pytest.mark.parametrize("graph", [GRAPH.to_json(), json.loads(GRAPH.to_json())], ids=["text", "object"])
def test_a_graph_is_given_as_text_or_as_an_object(graph: object) -> None:
    found = read_settings({VARIABLE: json.dumps({"graph": graph, "point": {"topk_val": 3}})})
    assert found is not None and found.flow() == GRAPH and found.point.topk_val == 3


def test_without_a_graph_the_server_is_dense() -> None:
    found = read_settings({VARIABLE: '{"point": {}}'})
    assert found is not None and found.flow() is None


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}, {VARIABLE: " \n"}])
def test_nothing_configured_is_nothing_found(environment: dict[str, str]) -> None:
    assert read_settings(environment) is None


@pytest.mark.parametrize(("text", "message"), [
    ("@/nowhere/settings.json", f"cannot read /nowhere/settings.json, which {VARIABLE} names"),
    ('{"flow": quest}', f"{VARIABLE} is not JSON"), ('["quest"]', f"{VARIABLE} holds no JSON object"),
    ('{"point": {"topk": 3}}', "topk is not a setting"),
    ('{"point": {"topk_val": -1}}', "topk_val: Input should be greater than or equal to 0"),
    ('{"point": 3}', f"{VARIABLE}: point"),
])
def test_what_cannot_be_read_is_refused_with_what_to_give(text: str, message: str) -> None:
    with pytest.raises(VortexError) as caught:
        read_settings({VARIABLE: text})
    assert message in caught.value.message and caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="cannot read"):
        read_settings({VARIABLE: f"@{tmp_path / 'settings.json'}"})


def test_a_graph_that_is_none_is_refused_when_it_is_asked_for() -> None:
    found = read_settings({VARIABLE: '{"graph": {"nodes": []}, "point": {}}'})
    assert found is not None
    with pytest.raises(GraphError):
        found.flow()
