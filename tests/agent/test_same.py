"""`vortex same`: what it says, and its exit codes."""
import json
from pathlib import Path

import pytest

from agent.cli.main import main

SHIFTED = """from vortex import ops, register, vFlow


@register("shifted")
class Shifted(vFlow):
    def forward_cache(self, cache):
        cache["mean_key"] = cache["k"].sum(dim=1) / 16

    def forward_indexer(self, q, cache):
        return ops.topk((cache["mean_key"] @ q.T).mean(dim=2) + 1.0)
"""


def same(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["same", *map(str, words)])
    return int(ended.value.code or 0)


def test_one_algorithm_by_its_laws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shifted.py").write_text(SHIFTED)
    assert same("centroid", tmp_path / "shifted.py") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("same algorithm  ")
    assert lines[1:] == ["B shifted: top-k does not see a row's shift  (line 10)"]


def test_one_text_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert same("quest", "quest") == 0
    assert "differ in names" in capsys.readouterr().out


def test_other_algorithms_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert same("centroid", "quest") == 1
    text = capsys.readouterr().out
    assert text.startswith("different") and "keeps a field [1, 128]" in text
    assert same("centroid", "quest", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["a"]["name"], told["b"]["name"]) == (False, "centroid", "quest")
    assert told["a"]["hash"] != told["b"]["hash"] and told["difference"]


def test_the_geometry_decides_what_is_the_same() -> None:
    assert same("quest", "lserve") == 0                              # one logical page is the whole block
    assert same("quest", "lserve", "--block-size", "32") == 1


def test_the_sizes_asked_for_hold_for_latents_too(capsys: pytest.CaptureFixture[str]) -> None:
    hashes = set()
    for sizes in ([], ["--group", "16"], ["--head-dim", "288"]):
        assert same("mla-centroid", "mla_centroid", *sizes, "--json") == 0
        hashes.add(json.loads(capsys.readouterr().out)["a"]["hash"])
    assert len(hashes) == 3
    with pytest.raises(SystemExit):
        main(["check", "mla-centroid", "--head-dim", "288", "--group", "16", "--json"])
    told = json.loads(capsys.readouterr().out)["geometry"]
    assert (told["head_dim"], told["kv_lora_rank"], told["group"]) == (288, 256, 16)


def test_what_cannot_be_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text(SHIFTED.replace(".mean(dim=2)", ""))
    assert same("centroid", tmp_path / "broken.py") == 2
    assert "broken.py" in capsys.readouterr().err
    assert same("centroid", "nothing.py") == 2
