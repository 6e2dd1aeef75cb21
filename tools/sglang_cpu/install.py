"""Puts the stand-ins of this folder beside the packages of the interpreter that runs this, never in place of a real one."""
import shutil
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    site = Path(sysconfig.get_path("purelib"))
    real = packages_distributions()
    shutil.copy(HERE / "_stand_in.py", site)
    for package in (found.parent for found in HERE.glob("*/__init__.py")):
        if package.name not in real:
            shutil.copytree(package, site / package.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


if __name__ == "__main__":
    main()
