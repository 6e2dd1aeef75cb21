"""The forms in which a flow reaches a server: all say the same thing."""
import json
from pathlib import Path
from typing import Any

import pytest

from vortex import flows
from vortex.config import VortexConfig
from vortex.errors import EngineError, PointError, VortexError
from vortex.serving.sglang.given import from_config
from vortex.serving.sglang.settings import VARIABLE, Settings, read_settings, settings_of

UPSTREAM = {"module_name": "quest", "topk_val": 12, "layers_skip": [0], "block_reserved_eos": 2, "block_size": 32}
FLAT = {"enable_vortex_sparsity": True, **{f"vortex_{name}": value for name, value in UPSTREAM.items()}}


def read(text: str) -> Settings | None:
    return read_settings({VARIABLE: text})


@pytest.mark.parametrize("text", ["quest", '{"flow": "quest"}', '{"flow": "quest", "point": {}}', ' "quest" '.strip(' "')])
def test_a_flow_is_given_by_its_name_alone(text: str) -> None:
    found = read(text)
    assert found is not None and (found.named, found.point.block_size, found.point.model) == ("quest", 16, "")


@pytest.mark.parametrize("body", [UPSTREAM, FLAT, {"vortex_" + name: value for name, value in UPSTREAM.items()}])
def test_the_config_of_the_upstream_says_what_it_says_there(body: dict[str, Any]) -> None:
    found = read(json.dumps(body))
    assert found is not None and found.named == "quest"
    point = found.point
    assert (point.topk_val, point.topk_ratio, point.layers_skip, point.block_size) == (12, 0.0, (0,), 32)
    assert (point.block_reserved_bos, point.block_reserved_eos, point.dtype, point.engine) == (1, 2, "bfloat16", "sglang")


@pytest.mark.parametrize("given", [VortexConfig(**UPSTREAM), UPSTREAM, json.dumps(UPSTREAM)], ids=["object", "entries", "json"])
def test_the_object_its_entries_and_its_json_are_one(given: Any) -> None:
    assert Settings(**from_config(given)) == settings_of(UPSTREAM)


def test_a_file_of_the_upstream_goes_by_path_and_registered_name(tmp_path: Path) -> None:
    found = settings_of({"module_path": str(tmp_path / "a.py"), "module_name": "b"})
    assert found is not None and (found.named, found.module) == (str(tmp_path / "a.py"), "b")


def test_sparsity_that_is_switched_off_is_nothing_configured() -> None:
    assert read(json.dumps({**FLAT, "enable_vortex_sparsity": False})) is None


def test_what_a_built_in_flow_asks_of_the_point_holds_unless_said_otherwise() -> None:
    asked = flows.settings(flows.read("lserve")[2])
    plain, said = read("lserve"), read('{"flow": "lserve", "point": {"renew_every": 1}}')
    assert plain is not None and plain.point.renew_every == asked["renew_every"] > 1
    assert said is not None and said.point.renew_every == 1


def test_a_point_is_given_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[point]\ntopk_val = 7\n")
    found = read(json.dumps({"flow": "quest", "point": str(tmp_path / "p.toml")}))
    assert found is not None and (found.point.topk_val, found.point.model, found.point.engine) == (7, "", "sglang")


@pytest.mark.parametrize(("body", "what"), [
    ({"flow": "quest", "graph": {}}, "given twice"), ({"flow": "nobody"}, "no flow 'nobody'"),
    ({"flow": "quest", "point": [1]}, "no JSON object"), ({"flow": "quest", "point": "/nowhere/p.toml"}, "cannot read"),
    ({"flow": "quest", "mode": 1}, "mode"), ({"topk_val": 3}, "names no flow"),
    ({"module_name": "quest", "topk_val": 0}, "topk_val"),
    ({"flow": "quest", "reserve": 2}, "reserve"), ({"something": 1}, "something"),
])
def test_what_cannot_be_is_refused(body: dict[str, Any], what: str) -> None:
    with pytest.raises(VortexError, match=what):
        settings_of(body)


def test_a_name_does_not_reach_the_processes_that_serve() -> None:
    found = read("quest")
    assert found is not None and not found.resolved
    with pytest.raises(EngineError, match="was not read before"):
        found.flow()


def test_a_config_without_a_flow_says_how_to_name_one() -> None:
    with pytest.raises(PointError, match="names no flow") as caught:
        from_config({"topk_val": 3})
    assert "module_path" in caught.value.hint
