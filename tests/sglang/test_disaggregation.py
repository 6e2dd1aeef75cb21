"""A decode server whose prompts are prefilled elsewhere: what it never wrote is summarised when a request joins.

SGLang's own fake transfer stands for the other server: pages hold zeros, so that summaries are wiped first to tell who wrote
them. No transfer library runs without its hardware.
"""
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sglang.asks import PROMPTS, words
from vortex.serving.sglang.cpu import cpu_environment
from vortex.serving.sglang.python import find_python

SCRIPT = Path(__file__).parent / "decode_only.py"
NEW = 24
ENGINE = {"flow": "quest", "skip_tokenizer_init": True, "max_total_tokens": 8192, "max_running_requests": 8,
          "log_level": "warning", "disaggregation_mode": "decode", "disaggregation_transfer_backend": "fake",
          "disaggregation_decode_retraction_backup": "none"}


@pytest.fixture(scope="module")
def told(models: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("decode")
    job, answers = folder / "job.json", folder / "answers.json"
    job.write_text(json.dumps({"model": models("qwen3"), "engine": ENGINE, "first": PROMPTS, "new": NEW,
                               "second": [words(170, 11), words(90, 12)]}))
    ran = subprocess.run([find_python().path, str(SCRIPT), str(job), str(answers)], env={**os.environ, **cpu_environment()},
                         capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(answers.read_text())
    return found


def test_pages_that_came_from_elsewhere_are_summarised_before_they_are_chosen_from(told: dict[str, Any]) -> None:
    assert [len(answer) for answer in told["tokens"]] == [NEW] * len(PROMPTS)
    assert told["first"]["audited"] > 1000 and told["first"]["missing"] == told["first"]["different"] == 0


def test_the_audit_notices_summaries_that_are_lost_while_requests_decode(told: dict[str, Any]) -> None:
    assert told["second"]["missing"] > 0
