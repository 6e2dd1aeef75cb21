"""A model is known by its contents, not by what its folder is called."""
import shutil
from pathlib import Path

import pytest

from vortex.errors import ModelError
from vortex.serving.checkpoint import locate
from vortex.serving.identity import identity


def test_a_copy_is_the_same_model_and_any_change_makes_another(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(locate("probe"), tmp_path / "Qwen3-8B"))
    assert identity(str(copy)) == identity("probe")
    seen = {identity("probe")}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        with (copy / name).open("ab") as file:
            file.write(b" ")
        seen.add(identity(str(copy)))
    assert len(seen) == 4


def test_a_model_that_is_not_here_has_no_identity() -> None:
    with pytest.raises(ModelError, match="does not lie on this machine"):
        identity("nobody/nothing")
