"""The house stands: imports run one way, and each outside library is spoken to in its home alone."""
import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("vortex", "evaluator", "search", "agent")
INNER = ("vortex.errors", "vortex.ir", "vortex.policy", "vortex.policy_reader", "vortex.config", "vortex.budget",
         "vortex.language", "vortex.compiler", "vortex.serving", "vortex.api", "vortex.inputs", "vortex.step")
HOMES = {
    "triton": ("vortex/compiler/kernels/",),
    "transformers": ("vortex/serving/embedded/", "vortex/serving/checkpoint.py", "evaluator/tasks/"),
    "sglang": ("vortex/serving/sglang/",),
    "flashinfer": ("vortex/serving/sglang/",),
    "pycparser": ("vortex/budget.py",),
    "ray": ("evaluator/cluster/",),
    "datasets": ("evaluator/tasks/",),
    "math_verify": ("evaluator/tasks/",),
    "pyseccomp": ("evaluator/sandbox/",),
    "scipy": ("evaluator/statistics/",),
    "sqlalchemy": ("search/store/",),
    "alembic": ("search/store/",),
    "moocore": ("search/frontier.py",),
    "optuna": ("search/tuning.py",),
    "matplotlib": ("search/plot",),
    "anthropic": ("agent/models/",),
    "openai": ("agent/models/",),
    "mcp": ("agent/mcp.py",),
    "jinja2": ("agent/prompts.py",),
    "typer": ("agent/cli/",),
    "rich": ("agent/cli/",),
}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def layer(name: str) -> int | None:
    """The place of a module in the inner order of vortex; flows stand beside the compiler."""
    name = name.replace("vortex.flows", "vortex.compiler")
    return next((i for i, prefix in enumerate(INNER) if name == prefix or name.startswith(prefix + ".")), None)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_run_from_right_to_left_only(path: Path) -> None:
    own = PACKAGES.index(relative(path).split("/")[0])
    module = relative(path).removesuffix(".py").replace("/", ".")
    for name, node in imports(path):
        package = name.split(".")[0]
        if package in PACKAGES:
            assert PACKAGES.index(package) <= own, f"{relative(path)}:{node.lineno} imports {name}"
        there, here = layer(name), layer(module)
        if there is not None and here is not None:
            assert there <= here, f"{relative(path)}:{node.lineno} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_outside_libraries_stay_in_their_homes(path: Path) -> None:
    for name, node in imports(path):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None:
            assert relative(path).startswith(homes), f"{relative(path)}:{node.lineno} imports {name}; its home is {homes}"


def test_no_file_grows_past_what_one_can_read() -> None:
    long = {relative(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 400}
    assert not long
