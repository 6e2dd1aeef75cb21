"""SGLang for a machine with a GPU and torch that no package index reaches: wheels in parcels here, their unpacking there.

    python benchmarks/gpu_environment.py collect FOLDER [--flashinfer]     # here: downloads; parcels of 60 MiB at most
    python benchmarks/gpu_environment.py install FOLDER --target SITE      # there: one call a parcel that was brought
    eval "$(python benchmarks/gpu_environment.py settings SITE)"           # there: what the shell is to export

What is there already is never replaced. sglang-kernel (380 MB) is stood in for (tools/sglang_gpu), which decode speed of dense
layers pays a little for, on both sides alike.
"""
import argparse
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
WHEELS = HERE / "gpu_wheels.txt"
FLASHINFER = "flashinfer-python==0.7.2"
GLIBC = (39, 35, 34, 31, 28, 27, 26, 24, 17)
MIB = 1 << 20
PLUGIN = "vortex_platform-0.dist-info"


def wanted(text: str) -> list[str]:
    """The requirements of a list, comments left out."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def download(requirements: Sequence[str], folder: Path, python: str) -> None:
    """Wheels for Linux on x86-64, without what they ask for."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64"]
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--python-version", python, "--implementation", "cp", "--abi", "cp" + python.replace(".", ""),
             "--abi", "abi3", "--abi", "none", "--dest", str(folder)]
    subprocess.run([*words, *(word for name in platforms for word in ("--platform", name)), *requirements], check=True)


def parcels(sizes: dict[str, int], most: int) -> list[list[str]]:
    """Names in as few parcels of at most `most` as taking the largest first gives; one that exceeds it travels alone."""
    found: list[list[str]] = []
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        room = (parcel for parcel in found if sum(sizes[one] for one in parcel) + sizes[name] <= most)
        parcel = next(room, None)
        if parcel is None:
            found.append([name])
        else:
            parcel.append(name)
    return found


def collect(folder: Path, most: int, python: str, flashinfer: bool) -> None:
    """Into parcel-1, parcel-2, ... of the folder."""
    loose = folder / "loose"
    loose.mkdir(parents=True, exist_ok=True)
    download(wanted(WHEELS.read_text()) + ([FLASHINFER] if flashinfer else []), loose, python)
    sizes = {path.name: path.stat().st_size for path in loose.glob("*.whl")}
    for number, names in enumerate(parcels(sizes, most), start=1):
        place = folder / f"parcel-{number}"
        place.mkdir(exist_ok=True)
        for name in names:
            (loose / name).replace(place / name)
        print(f"{place}: {len(names)} wheels, {sum(sizes[name] for name in names) / MIB:.1f} MiB")
    loose.rmdir()


def distribution_of(wheel: str) -> str:
    """The name of what a wheel's file holds, as packages are compared by."""
    return plain(wheel.split("-")[0])


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def install(folder: Path, target: Path) -> None:
    """The wheels below a folder that this Python lacks, the stand-in of sglang-kernel, and our plug-in's entry point."""
    there = {plain(one.name) for one in distributions()} | {plain(one.name) for one in distributions(path=[str(target)])}
    wheels = [path for path in sorted(folder.rglob("*.whl")) if distribution_of(path.name) not in there]
    if wheels:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
                        "--no-deps", "--no-compile", "--upgrade", "--target", str(target), *map(str, wheels)], check=True)
    target.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("sgl_kernel") is None:
        shutil.copy(ROOT / "tools" / "sglang_cpu" / "_stand_in.py", target)
        shutil.copytree(ROOT / "tools" / "sglang_gpu" / "sgl_kernel", target / "sgl_kernel", dirs_exist_ok=True)
    announce(target)
    print(f"{target}: {len(wheels)} wheels unpacked; already there: {len(list(folder.rglob('*.whl'))) - len(wheels)}")


def announce(target: Path) -> None:
    """SGLang finds plug-ins by what installed packages say of themselves."""
    info = target / PLUGIN
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vortex-platform\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[sglang.srt.plugins]\nvortex = vortex.serving.sglang.plugin:register\n")


def settings(target: Path) -> dict[str, str]:
    """Environment of every process that shall use it."""
    flashinfer = any(plain(one.name) == "flashinfer-python" for one in distributions(path=[str(target), *sys.path]))
    return {"PYTHONPATH": f"{target}:{ROOT}", "SGLANG_SKIP_SGL_KERNEL_VERSION_CHECK": "1",
            "SGLANG_IS_FLASHINFER_AVAILABLE": str(flashinfer).lower(), "VORTEX_SGLANG_PYTHON": sys.executable}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    here = verbs.add_parser("collect")
    here.add_argument("folder", type=Path)
    here.add_argument("--flashinfer", action="store_true", help="62 MiB more, a parcel of their own")
    here.add_argument("--parcel-mib", type=float, default=60)
    here.add_argument("--python", default="3.12", help="of the machine that they are for")
    there = verbs.add_parser("install")
    there.add_argument("folder", type=Path)
    there.add_argument("--target", type=Path, required=True)
    verbs.add_parser("settings").add_argument("target", type=Path)
    options = parser.parse_args()
    if options.verb == "collect":
        collect(options.folder, int(options.parcel_mib * MIB), options.python, options.flashinfer)
    elif options.verb == "install":
        install(options.folder, options.target.absolute())
    else:
        print("\n".join(f"export {name}={value}" for name, value in settings(options.target.absolute()).items()))


if __name__ == "__main__":
    main()
