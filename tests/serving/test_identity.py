"""A model is known by its contents, not by what its folder is called."""
import os
import shutil
from pathlib import Path

import pytest

from vortex.errors import ModelError
from vortex.serving.checkpoint import locate
from vortex.serving.identity import identity, identity_by_sizes


def test_a_copy_is_the_same_model_and_any_change_makes_another(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(locate("probe"), tmp_path / "Qwen3-8B"))
    assert identity(str(copy)) == identity("probe")
    seen = {identity("probe")}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        with (copy / name).open("ab") as file:
            file.write(b" ")
        seen.add(identity(str(copy)))
    assert len(seen) == 4


def copied(to: Path) -> Path:
    return Path(shutil.copytree(locate("probe"), to))


def test_other_weights_of_the_same_size_are_another_model(tmp_path: Path) -> None:
    weights = copied(tmp_path / "model") / "model.safetensors"
    content, times = weights.read_bytes(), weights.stat()
    weights.write_bytes(content[:3_000_000] + bytes(1 << 16) + content[3_000_000 + (1 << 16):])
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert identity(str(weights.parent)) != identity("probe")
    assert identity_by_sizes(str(weights.parent)) == identity_by_sizes("probe")


def test_of_a_long_weight_file_pages_everywhere_are_read(tmp_path: Path) -> None:
    weights, size = copied(tmp_path / "model") / "model.safetensors", 256 << 20
    os.truncate(weights, size)
    seen = {identity(str(weights.parent))}
    for begin in (4096, size // 3, size - 4096):
        with weights.open("r+b") as file:
            file.seek(begin - begin % 4096)
            file.write(b"x" * min(size // 1000, size - file.tell()))
        seen.add(identity(str(weights.parent)))
    assert len(seen) == 4


def test_a_model_that_is_not_here_has_no_identity() -> None:
    with pytest.raises(ModelError, match="does not lie on this machine"):
        identity("nobody/nothing")
