"""SGLang's way in: silent where nothing is configured, and an end with a reason where what is asked for cannot be."""
import subprocess
import sys

import pytest

from vortex.errors import EngineError, MissingExtra
from vortex.serving.sglang import plugin, versions
from vortex.serving.sglang.settings import VARIABLE

SILENT = """
import sys
from vortex.serving.sglang.plugin import register
register()
print([name for name in sys.modules if "sglang.srt" in name])
"""


def test_without_the_variable_nothing_is_imported_and_nothing_said() -> None:
    done = subprocess.run([sys.executable, "-c", SILENT], env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("version", versions.SUPPORTED)
def test_supported_versions_pass(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(versions, "version", lambda name: version)
    assert versions.check_version() == version


@pytest.mark.parametrize("version", ["0.5.22", "0.5.230", "0.6.0"])
def test_a_version_that_was_never_tried_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(versions, "version", lambda name: version)
    with pytest.raises(EngineError, match=f"SGLang {version} is not supported") as caught:
        versions.check_version()
    assert "pip install sglang==0.5.23" in caught.value.hint


def test_no_sglang_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise versions.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", absent)
    with pytest.raises(MissingExtra, match="SGLang is not installed"):
        versions.check_version()


@pytest.mark.parametrize(("text", "said"), [
    ('{"point": {}}', "SGLang 0.5.22 is not supported"),
    ('{"point": ', "is not JSON"),
    ('{"point": {"topk": 1}}', "topk is not a setting"),
])
def test_a_refusal_ends_the_process_with_its_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                                    text: str, said: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    monkeypatch.setattr(versions, "version", lambda name: "0.5.22")
    with pytest.raises(SystemExit) as ended:
        plugin.register()
    told = capsys.readouterr()
    assert ended.value.code == 2 and said in told.err and "Traceback" not in told.err and not told.out
