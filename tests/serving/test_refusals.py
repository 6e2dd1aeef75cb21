"""What an engine refuses, each with its own error and a hint that says what to do."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.world import built_in
from tests.serving.asks import SPARSE, ask, prompt, use
from tests.serving.llama import write_llama
from vortex.errors import EngineError, ModelError
from vortex.ir import Geometry
from vortex.serving import make_engine
from vortex.serving.checkpoint import find_checkpoint
from vortex.serving.embedded.engine import EmbeddedEngine, Limits
from vortex.serving.engine import Request


@pytest.mark.parametrize(("requests", "message"), [
    ([Request(id="a", tokens=(5,), max_new_tokens=1)] * 2, "two requests are called 'a'"),
    ([Request(id="a", tokens=(), max_new_tokens=1)], "has nothing to do"),
    ([Request(id="a", tokens=(5,), max_new_tokens=0)], "has nothing to do"),
    ([Request(id="a", tokens=(5, 736), max_new_tokens=1)], "holds token 736"),
])
def test_requests_that_cannot_be_are_refused_before_anything_runs(
        probe: EmbeddedEngine, requests: list[Request], message: str) -> None:
    use(probe, None)
    with pytest.raises(EngineError, match=message):
        probe.generate(requests)


def test_a_request_larger_than_the_pool_is_refused() -> None:
    engine = EmbeddedEngine(device="cpu", limits=Limits(kv_bytes=1 << 20))
    engine.start("probe")
    use(engine, None)
    with pytest.raises(EngineError, match="needs 20 blocks of KV, and 15 fit"):
        engine.generate(ask([prompt(300, 0)], tokens=12))


def test_a_flow_of_another_geometry_is_refused(probe: EmbeddedEngine) -> None:
    with pytest.raises(EngineError, match="traced for") as refusal:
        probe.use(built_in("quest", Geometry(block_size=16, head_dim=128, group=4)), SPARSE)
    assert "engine.geometry" in refusal.value.hint


def test_a_layer_that_the_model_lacks_is_refused(probe: EmbeddedEngine) -> None:
    with pytest.raises(EngineError, match="layers 0 to 3"):
        probe.use(None, SPARSE.with_(layers_skip=(4,)))


def test_an_engine_is_started_and_told_what_to_use_first() -> None:
    engine = EmbeddedEngine(device="cpu")
    with pytest.raises(EngineError, match="no model"):
        engine.use(None, SPARSE)
    engine.start("probe")
    with pytest.raises(EngineError, match="no operating point"):
        engine.generate(ask([prompt(3, 0)]))
    engine.stop()
    with pytest.raises(EngineError, match="no model"):
        engine.geometry(16)


def test_engines_are_made_by_name() -> None:
    assert isinstance(make_engine("embedded"), EmbeddedEngine)
    with pytest.raises(EngineError, match="no engine 'vllm'"):
        make_engine("vllm")


def test_a_missing_library_names_the_extra_to_install(tmp_path: Path) -> None:
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError(name='transformers')\n")
    code = ("from vortex.serving import make_engine\nfrom vortex.errors import MissingExtra\n"
            "try:\n    make_engine('embedded')\nexcept MissingExtra as e:\n    print(e.report())\n")
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
                          capture_output=True, text=True, check=True)
    assert "needs transformers" in done.stdout and "vortex-platform[eval]" in done.stdout


def test_a_folder_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(ModelError, match="no folder") as refusal:
        find_checkpoint("/nowhere/at/all")
    assert "probe" in refusal.value.hint


def test_an_id_that_is_not_here_is_refused_at_once_where_no_hub_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    with pytest.raises(ModelError, match="cannot read the config of 'nobody/nothing'") as refusal:
        find_checkpoint("nobody/nothing")
    assert "hf download nobody/nothing" in refusal.value.hint


def test_a_folder_without_a_config_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        find_checkpoint(str(tmp_path))


@pytest.mark.parametrize(("config", "message"), [
    ({"model_type": "gpt2"}, "type 'gpt2', which is not served"),
    ({"model_type": "no-such-thing"}, "cannot read the config"),
    ({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"], "num_hidden_layers": 2},
     "sliding window"),
])
def test_a_model_that_is_not_served_is_refused_with_the_reason(tmp_path: Path, config: dict[str, object],
                                                               message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(tmp_path))


def test_a_model_without_weights_or_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1,
                                                      "hidden_size": 32, "num_attention_heads": 2}))
    with pytest.raises(ModelError, match="cannot load the weights"):
        EmbeddedEngine(device="cpu").start(str(tmp_path))


def test_weights_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    path = write_llama(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot load the weights"):
        EmbeddedEngine(device="cpu").start(path)


def test_the_tokenizer_goes_there_and_back_and_has_no_chat_template(probe: EmbeddedEngine) -> None:
    ids = probe.tokenizer.encode("ask fish : 17 ;")
    assert probe.tokenizer.decode(ids) == "ask fish : 17 ;"
    with pytest.raises(ModelError, match="no chat template"):
        probe.tokenizer.chat([{"role": "user", "content": "hello"}])
