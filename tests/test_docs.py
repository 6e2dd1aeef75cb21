"""The docs are true: flows in them check, commands in them exist, generated pages are up to date."""
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from vortex.compiler.front import load
from vortex.ir import Geometry

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert spec is not None and spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def blocks(language: str) -> list[tuple[str, str]]:
    return [(page.name, text) for page in PAGES for kind, text in BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_flows_in_the_docs_are_legal(page: str, text: str) -> None:
    assert load(text, page, Geometry()).hash


@pytest.mark.parametrize(("page", "text"), blocks("bash"))
def test_commands_in_the_docs_exist(page: str, text: str) -> None:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].endswith("vortex"):
            assert words[1] in generate.COMMANDS, f"{page}: {line}"
        if words and words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: {line}"


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text() == generate.PAGES[name](), "run: make docs"
