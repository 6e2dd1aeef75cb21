"""Submissions in the upstream's form: the checker's rules in their order, and the operating point they mean."""
import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from vortex.compiler.submission import check_engine_config, load_submission
from vortex.config import OperatingPoint
from vortex.errors import EngineConfigError, ModelError
from vortex.ir import Geometry

FLOW = '''
from vortex import ops, register, vFlow


@register('mine_cls')
class Mine(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["c"].T)
'''
KEPT = """        score = 0.5 * cache.state("seen") + q.mean(dim=1) @ cache["c"].T
        cache["seen"] = score
        return ops.topk(score)"""
STATE = FLOW.replace('        return ops.topk(q.mean(dim=1) @ cache["c"].T)', KEPT)
GOOD: dict[str, Any] = {
    "vortex_module_path": "mine.py", "vortex_module_name": "mine_cls", "vortex_block_size": 32, "vortex_workload_chunk_size": 32,
    "vortex_topk_val": 29, "vortex_topk_ratio": 0.0625, "vortex_block_reserved_bos": 1, "vortex_block_reserved_eos": 2,
    "vortex_layers_skip": [0], "vortex_dtype": "bfloat16", "mem_fraction_static": 0.8, "model_path": "Qwen/Qwen3-1.7B",
}
LEFT_OUT = object()


def written(folder: Path, changes: dict[str, Any], flow: str = FLOW) -> Path:
    (folder / "mine.py").write_text(flow)
    body = {key: value for key, value in (GOOD | changes).items() if value is not LEFT_OUT}
    (folder / "mine.json").write_text(json.dumps(body, indent=2))
    return folder / "mine.json"


@pytest.mark.parametrize(("changes", "said"), [
    ({"vortex_block_size": LEFT_OUT}, "vortex_block_size is missing"),
    ({"vortex_block_size": None}, "must be a whole number, not null"),
    ({"vortex_block_size": True}, "must be a whole number, not true"), ({"vortex_block_size": "16"}, "whole number, not \"16\""),
    ({"vortex_block_size": 16.5}, "must be a whole number, not 16.5"), ({"vortex_block_size": 1e400}, "must be a whole number"),
    ({"vortex_block_size": 24}, "vortex_block_size must be a positive power of 2, not 24"),
    ({"vortex_block_size": 0}, "must be a positive power of 2"), ({"vortex_workload_chunk_size": LEFT_OUT}, "is missing"),
    ({"vortex_workload_chunk_size": -32}, "vortex_workload_chunk_size must be a positive power of 2"),
    ({"vortex_block_reserved_bos": 0}, "vortex_block_reserved_bos must be 1 or more"),
    ({"vortex_block_reserved_eos": LEFT_OUT}, "vortex_block_reserved_eos is missing"),
    ({"vortex_layers_skip": 3}, "vortex_layers_skip must be null or a list"),
    ({"vortex_layers_skip": [True]}, "must be null or a list"),
    ({"vortex_module_path": ""}, "vortex_module_path must be a path"), ({"vortex_module_path": 3}, "vortex_module_path must be"),
    ({"vortex_module_path": "your.py"}, "vortex_module_path 'your.py' not found"), ({"vortex_module_path": "."}, "not found"),
    ({"vortex_module_path": "a\0b"}, "not found"), ({"vortex_module_name": None}, "vortex_module_name must be the name"),
    ({"vortex_module_name": "mine"}, "does not contain @register"),
    ({"vortex_module_name": "mine.cls"}, "does not contain @register"),
    ({"vortex_topk_val": -3}, "topk_val: Input should be"),
    ({"vortex_attention_backend": "fa3"}, "attention_backend: Input should be"),
    ({"vortex_dtype": "fp8_e4m3"}, "dtype: fields are not kept in 'fp8_e4m3'"),
    ({"page_size": 48}, "page_size must be a multiple"),
    ({"vortex_use_tensor_core": True, "vortex_impl_backend": "cuda"}, "use_tensor_core goes with"),
    ({"vortex_schedule_policy": " "}, "schedule_policy is empty"), ({"vortex_schedule_policy": "return x;"}, "x is not declared"),
])
def test_rules_of_the_upstreams_checker(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path, changes)
    with pytest.raises(EngineConfigError) as caught:
        check_engine_config(path)
    assert said in caught.value.message
    assert caught.value.hint
    present = [key for key, value in changes.items() if value is not LEFT_OUT]
    assert not present or caught.value.where.line


@pytest.mark.parametrize(("text", "said"), [
    ("", "not valid JSON"), ("{", "not valid JSON"), ("[1]", "the top level is not an object"), ("[" * 99999, "not valid JSON"),
])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(EngineConfigError, match=said):
        check_engine_config(tmp_path / "mine.json")
    with pytest.raises(EngineConfigError, match="cannot read"):
        check_engine_config(tmp_path / "none.json")


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    plain = load_submission(written(tmp_path, {}))
    path = written(tmp_path, {}, "\ufeff" + FLOW.lstrip())
    path.write_text("\ufeff" + path.read_text())
    assert load_submission(path).graph.hash == plain.graph.hash


def test_the_first_broken_rule_counts(tmp_path: Path) -> None:
    order = ["vortex_block_size", "vortex_workload_chunk_size", "vortex_block_reserved_bos", "vortex_layers_skip",
             "vortex_module_path", "vortex_module_name"]
    changes: dict[str, Any] = dict.fromkeys(order, "x")
    for key in order:
        with pytest.raises(EngineConfigError, match=f"^{key}"):
            check_engine_config(written(tmp_path, changes))
        del changes[key]


def test_a_good_submission_becomes_a_flow_and_a_point(tmp_path: Path) -> None:
    path = written(tmp_path, {"vortex_block_size": 32.0, "page_size": 64, "vortex_max_topk_val": 96})
    assert check_engine_config(path)["vortex_topk_ratio"] == 0.0625
    found = load_submission(path)
    assert (found.text, found.path, found.name) == (FLOW, str(tmp_path / "mine.py"), "mine_cls")
    assert found.point == OperatingPoint(
        model="Qwen/Qwen3-1.7B", block_size=32, topk_val=29, topk_ratio=0.0625, block_reserved_bos=1, block_reserved_eos=2,
        layers_skip=(0,), dtype="bfloat16", page_size=64, max_topk_val=96)
    assert found.without_meaning == ("vortex_workload_chunk_size", "mem_fraction_static")


@pytest.mark.parametrize(("given", "layers"), [(LEFT_OUT, (0,)), (None, (0,)), ([], ()), ([1, 2], (1, 2))])
def test_layers_left_out_are_the_first_one(tmp_path: Path, given: Any, layers: tuple[int, ...]) -> None:
    changes = {"vortex_layers_skip": given, "vortex_topk_val": LEFT_OUT, "vortex_topk_ratio": None, "model_path": LEFT_OUT}
    point = load_submission(written(tmp_path, changes)).point
    assert (point.layers_skip, point.topk_val, point.topk_ratio, point.model) == (layers, 29, 0.0, "Qwen/Qwen3-1.7B")


def test_the_flow_is_traced_for_the_model_or_for_usual_ones(tmp_path: Path) -> None:
    narrow = FLOW.replace("mean(dim=1)\n", "mean(dim=1)[..., :96]\n").replace("q.mean(dim=1)", "q.mean(dim=1)[..., :96]")
    path = written(tmp_path, {}, narrow)
    with pytest.raises(EngineConfigError, match="failed to build vFlow 'mine_cls' for block_size 32, head_dim 64") as caught:
        check_engine_config(path)
    assert (caught.value.where.path, caught.value.where.line) == (str(tmp_path / "mine.py"), 8)
    assert check_engine_config(path, lambda model, block_size: Geometry(block_size, 96, 3))
    assert load_submission(path, lambda model, block_size: Geometry(block_size, 256, 3)).graph.geometry == Geometry(32, 256, 3)
    with pytest.raises(EngineConfigError, match=r"failed to fetch config.json from HuggingFace repo 'Qwen/Qwen3-1.7B': offline"):
        check_engine_config(path, offline)


def offline(model: str, block_size: int) -> Geometry:
    raise ModelError("offline")


def test_a_flow_that_cannot_be_built_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineConfigError, match="failed to build vFlow 'mine_cls': UnknownOp"):
        check_engine_config(written(tmp_path, {}, FLOW.replace("ops.topk", "ops.topq")))


def test_saved_state_needs_the_prefix_cache_off(tmp_path: Path) -> None:
    for value in (LEFT_OUT, False, "true", 1):
        with pytest.raises(EngineConfigError, match=r"disable_radix_cache must be true: the flow saves state \(seen\)"):
            check_engine_config(written(tmp_path, {"disable_radix_cache": value}, STATE))
    assert load_submission(written(tmp_path, {"disable_radix_cache": True}, STATE)).graph.states
    assert check_engine_config(written(tmp_path, {}, FLOW + "# Save( is a word here\n"))


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["check", *map(str, words)])
    return int(ended.value.code or 0), capsys.readouterr().out


def test_check_prints_the_point_of_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {})
    code, text = told(capsys, path)
    assert code == 0
    assert "model Qwen/Qwen3-1.7B, block_size 32, topk_val 29, topk_ratio 0.0625, layers_skip (0,), dtype bfloat16" in text
    assert text.endswith("ignored  vortex_workload_chunk_size, mem_fraction_static\n")
    code, text = told(capsys, path, "--json")
    assert json.loads(text)["point"]["topk_val"] == 29
    code, text = told(capsys, written(tmp_path, {"vortex_block_size": 24}))
    assert code == 2
    assert text.startswith(f'{path}:4  EngineConfigError\n    "vortex_block_size": 24,\n  vortex_block_size must be')


def test_check_takes_many_files_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, {})
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "_part.py").write_text("")
    assert told(capsys, tmp_path)[1].endswith("2 checked, 0 refused.\n")
    (tmp_path / "bad.py").write_text(FLOW.replace("ops.topk", "ops.topq"))
    code, text = told(capsys, tmp_path, "quest", "qest")
    assert (code, text.count("\nok  ")) == (2, 3)
    assert "bad.py:11  UnknownOp" in text and text.endswith("5 checked, 2 refused.\n")
    body = json.loads(told(capsys, tmp_path, "quest", "qest", "--json")[1])
    assert (body["ok"], body["checked"], body["refused"]) == (False, 5, 2)
    assert [flow["ok"] for flow in body["flows"]] == [False, True, True, True, False]


def test_check_shows_an_edit_that_mends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.py"
    path.write_text(FLOW.replace("ops.topk", "ops.topq"))
    assert "- ops.topq" in (text := told(capsys, path)[1]) and "+ ops.topk" in text
    fix = json.loads(told(capsys, path, "--json")[1])["errors"][0]["fix"]
    assert (fix["line"], fix["old"], fix["new"]) == (11, "ops.topq", "ops.topk")


def test_check_picks_a_flow_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.py"
    path.write_text(FLOW + FLOW.replace("mine_cls", "other").replace("class Mine", "class Other").split("vFlow\n", 1)[1])
    for name, found in (("mine_cls", "mine_cls"), ("other", "other"), (None, "other")):
        assert told(capsys, path, *(("--name", name) if name else ()))[1].split()[1] == found
    assert told(capsys, path, "--name", "third")[0] == 2


UPSTREAM = '''
from typing import Dict, Tuple

import torch
from vortex_torch.abs import ContextBase
from vortex_torch.cache import Fill as CFill
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Load, Mean, Save, topK


@register("theirs_cls")
class Theirs(vFlow):
    def __init__(self):
        super().__init__()
        self.mean, self.gemv, self.top = Mean(dim=1), GeMV(), topK()
        self.load, self.add, self.save = Load(), Add(alpha=0.5, beta=1.0), Save()
        self.centroid, self.fill = CMean(dim=1), CFill(0.0)

    def create_cache(self, block_size: int, head_dim: int) -> Dict[str, Tuple[int, int]]:
        return {"centroids": (1, head_dim), "running": (1, 1)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
        self.fill(cache["running"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        score = self.gemv(self.mean(q, ctx=ctx), cache["centroids"], ctx=ctx)
        running = self.add(self.load(cache["running"], ctx=ctx), score, ctx=ctx)
        self.save(running, cache["running"], ctx=ctx)
        self.top(running, o, ctx=ctx)
'''


def test_a_submission_in_the_upstreams_spelling_is_read_unchanged(tmp_path: Path) -> None:
    changes = {"vortex_module_name": "theirs_cls", "disable_radix_cache": True, "vortex_block_size": 16}
    theirs = load_submission(written(tmp_path, changes, UPSTREAM))
    same = STATE.replace('q.mean(dim=1) @ cache["c"].T', 'cache["c"] @ q.mean(dim=1).T')
    ours = load_submission(written(tmp_path, {"disable_radix_cache": True, "vortex_block_size": 16}, same))
    assert theirs.graph.hash == ours.graph.hash
    with pytest.raises(EngineConfigError, match="disable_radix_cache must be true"):
        load_submission(written(tmp_path, {"vortex_module_name": "theirs_cls"}, UPSTREAM))
