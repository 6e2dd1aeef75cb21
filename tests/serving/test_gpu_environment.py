"""Parcels of wheels, and their unpacking where no package index reaches; benchmarks are files of their own, read by path."""
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("gpu_environment", ROOT / "benchmarks" / "gpu_environment.py")
assert spec is not None and spec.loader is not None
gpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 99), max_size=20), st.integers(20, 120))
def test_every_wheel_travels_once_in_parcels_that_may_be_carried(sizes: dict[str, int], most: int) -> None:
    found = gpu.parcels(sizes, most)
    assert sorted(name for parcel in found for name in parcel) == sorted(sizes)
    assert all(sum(sizes[name] for name in parcel) <= most or len(parcel) == 1 for parcel in found)
    heavy = [parcel for parcel in found if sum(sizes[name] for name in parcel) * 2 <= most]
    assert len(heavy) <= 1                # two that are half empty would be one


def test_the_list_names_each_package_once_at_the_version_that_is_supported() -> None:
    from vortex.serving.sglang.versions import SUPPORTED
    names = [gpu.plain(one.partition("==")[0]) for one in gpu.wanted(gpu.WHEELS.read_text())]
    assert len(set(names)) == len(names)
    assert f"sglang=={SUPPORTED[-1]}" in gpu.wanted(gpu.WHEELS.read_text())
    assert not {"torch", "triton", "transformers", "numpy", "sglang-kernel"} & set(names)


def wheel(folder: Path, name: str) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"here = {name!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_what_is_there_stays_and_the_plug_in_is_announced(tmp_path: Path) -> None:
    parcel, target = tmp_path / "parcel-1", tmp_path / "site"
    parcel.mkdir()
    for name in ("not_there_yet", "pydantic"):
        wheel(parcel, name)
    gpu.install(parcel, target)
    assert (target / "not_there_yet").is_dir() and not (target / "pydantic").exists()
    settings = gpu.settings(target)
    assert settings["SGLANG_IS_FLASHINFER_AVAILABLE"] == "false"
    program = "import not_there_yet, sgl_kernel; from importlib.metadata import entry_points as known\n" \
              "print(not_there_yet.here, sgl_kernel.rmsnorm.__module__, *(p.value for p in known(group='sglang.srt.plugins')))"
    done = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("not_there_yet sgl_kernel vortex.serving.sglang.plugin:register"), done.stderr


@pytest.mark.parametrize(("file", "name"), [("apache_tvm_ffi-0.1.11-cp312-abi3-x.whl", "apache-tvm-ffi"),
                                            ("ruamel.yaml-1.0-py3-none-any.whl", "ruamel-yaml")])
def test_wheels_are_compared_by_the_plain_name_of_what_they_hold(file: str, name: str) -> None:
    assert gpu.distribution_of(file) == name
