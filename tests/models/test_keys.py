"""Keys reach the provider's SDK, and no process that a command starts."""
import os
import subprocess
import sys

import pytest

from agent.cli import main as command
from agent.models.keys import kept_apart, key
from agent.models.registry import make_model
from tests.models.asking import KEY
from vortex.child import run
from vortex.errors import MissingKey


def children_see() -> list[str]:
    """The environments of an executed process and of a limited child."""
    code = "import os; print(sorted(os.environ.values()))"
    executed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return [executed, run(environment, wall_s=30, memory_bytes=1 << 30)]


def environment() -> str:
    return str(sorted(os.environ.values()))


def test_a_model_is_made_and_no_child_sees_its_key() -> None:
    with kept_apart():
        assert key("OPENAI_API_KEY") == KEY and "OPENAI_API_KEY" not in os.environ
        make_model("gpt-5.5"), make_model("claude-opus-5-5")
        assert not any(KEY in seen for seen in children_see())
    assert os.environ["OPENAI_API_KEY"] == os.environ["ANTHROPIC_API_KEY"] == KEY


def test_every_command_runs_with_its_keys_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(command, "application", lambda wanted: lambda words, prog_name: seen.append(environment()))
    command.main(["flows"])
    assert seen and KEY not in seen[0] and os.environ["OPENAI_API_KEY"] == KEY


def test_a_key_that_is_gone_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept_apart():
        make_model("gpt-5.5")
    monkeypatch.delenv("OPENAI_API_KEY")
    with kept_apart(), pytest.raises(MissingKey):
        make_model("gpt-5.5")
