"""The SGLang that tests drive: its versions are those that are supported and those of our own environment, its stand-ins safe."""
import importlib.util
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from vortex.serving.sglang.versions import SUPPORTED

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / "tools" / "sglang_cpu"
PINNED = re.compile(r"^([\w.-]+)==(\S+)$", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in PINNED.findall(path.read_text())}


def test_the_version_that_tests_drive_is_the_last_that_is_supported() -> None:
    assert pins(TOOLS / "alone.txt")["sglang"] == SUPPORTED[-1]


def test_both_environments_pin_the_same_but_for_the_client_that_sglang_holds_back() -> None:
    ours, theirs = pins(ROOT / "constraints.txt"), pins(TOOLS / "requirements.txt")
    assert {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]} == {"openai"}
    assert ours["torch"] == theirs["torch"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/sglang_cpu/install.py for an interpreter whose packages lie in `tmp_path`."""
    spec = importlib.util.spec_from_file_location("install_stand_ins", TOOLS / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    return module


def test_stand_ins_never_take_the_place_of_a_real_package(
        install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "packages_distributions", lambda: {"triton": ["triton"]})
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").write_text("real")
    for _ in range(2):                    # again over its own
        install.main()
    assert (tmp_path / "triton" / "__init__.py").read_text() == "real"
    assert {path.name for path in tmp_path.iterdir()} == {"_stand_in.py", "sgl_kernel", "torchvision", "triton"}


def test_a_stand_in_is_imported_and_cannot_be_called(
        install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "packages_distributions", dict)
    monkeypatch.syspath_prepend(str(tmp_path))
    install.main()
    known, finders = set(sys.modules), list(sys.meta_path)
    kernels = importlib.import_module("sgl_kernel")
    try:
        below = importlib.import_module("sgl_kernel.elementwise")
        with pytest.raises(NotImplementedError, match="rmsnorm stands in for a package"):
            below.rmsnorm(1, 2)
        with pytest.raises(NotImplementedError, match="anything stands in"):
            kernels.anything()
        with pytest.raises(AttributeError):
            _ = kernels.__all__
    finally:
        sys.meta_path[:] = finders
        for name in set(sys.modules) - known:
            del sys.modules[name]
