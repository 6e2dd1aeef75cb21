"""What tests share: kernels are interpreted where there is no GPU, and may be built into a cache of their own."""
import os
from pathlib import Path

import pytest
import torch

# Triton decides when it is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tests of one file."""
    return tmp_path_factory.mktemp("folder")


@pytest.fixture
def own_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of built kernels that no other file's tests, and no user, has."""
    monkeypatch.setenv("VORTEX_CACHE", str(folder))
    return folder
