"""`vortex trace`: what it writes and tells, and what it refuses."""
import json
from pathlib import Path

import pytest

from agent.cli import trace
from agent.cli.main import main
from agent.cli.trace_text import bytes_text
from evaluator.traces import store
from evaluator.traces.prompts import Prompt
from tests.tasks import asked

CAPTURE = ("capture", "--model", "probe", "--task", "vt-512-4hop", "--samples", "2", "--steps", "2", "--window", "8")


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["trace", *words])
    out = capsys.readouterr()
    assert (ended.value.code, out.err) == (0, "")
    return out.out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["trace", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("traces") / "vt"
    with pytest.raises(SystemExit):
        main(["trace", *CAPTURE, "--to", str(to), "--json"])
    return to


def test_capture_tells_the_size_first_and_what_it_wrote(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = told(capsys, *CAPTURE, "--to", str(tmp_path / "t")).splitlines()
    assert lines[0].startswith("2 prompts, at most ") and "vt-512-4hop/30000/1  5" in lines[3]
    assert lines[-1] == f"try: vortex trace profile {tmp_path / 't'} --flow quest"
    assert json.loads((tmp_path / "t" / "manifest.json").read_text())["tasks"]["vt-512-4hop"].startswith("probe")


def test_profile_shows_heads_flows_and_a_picture(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    text = told(capsys, "profile", str(folder), "--flow", "quest", "--ratio", "0.125", "--ratio", "0.5",
                "--plot", str(tmp_path / "heads.png"))
    assert "sink share  most mass at 0.125  most mass at 0.5" in text
    assert sum(line.startswith("quest ") for line in text.splitlines()) == 2
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")
    body = json.loads(told(capsys, "profile", str(folder), "--flow", "quest", "--ratio", "0.125", "--json"))
    assert body["trajectories"] == 2 and len(body["sink"]) == 4
    best, own = body["most_mass"]["0.125"], body["flows"][0]["mass"]
    assert all(b >= m - 1e-6 for rows in zip(best, own, strict=True) for b, m in zip(*rows, strict=True))


@pytest.mark.parametrize(("words", "said"), [
    (("--steps", "0"), "--steps 0"), (("--steps", "many"), "a number from 1, or `every`"), (("--task", "nope"), "no preset nope"),
    (("--model", "no-such-model-here"), "no-such-model-here"),
])
def test_mistakes_are_refused_before_anything_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...],
                                                   said: str) -> None:
    assert said.lower() in refused(capsys, *CAPTURE, *words, "--to", str(tmp_path / "t")).lower()
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(("option", "end"), [("--thinking", "[assistant] "), ("--no-thinking", "</think>\n\n")])
def test_a_model_with_two_modes_is_asked_in_the_one_that_is_named(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, end: str) -> None:
    prompts: list[Prompt] = []

    def written(to: Path, manifest: store.Manifest, point: object, given: list[Prompt], json: bool) -> None:
        prompts.extend(given)                    # the model is a tokenizer alone
        assert not list(store.write(to, manifest, ()))

    monkeypatch.setattr(trace, "_write", written)
    folder = asked.model(tmp_path / "model", "two-modes").model
    words = ("capture", "--model", folder, "--task", "math:small", "--samples", "2", "--to", str(tmp_path / "t"))
    assert "--no-thinking" in refused(capsys, *words) and not prompts
    told(capsys, *words, option)
    assert [prompt.text.endswith(end) for prompt in prompts] == [True, True]
    assert store.read_manifest(tmp_path / "t").thinking is (option == "--thinking")


def test_traces_are_not_replaced_unasked_and_others_are_no_traces(capsys: pytest.CaptureFixture[str], folder: Path,
                                                                  tmp_path: Path) -> None:
    assert "--force" in refused(capsys, *CAPTURE, "--to", str(folder))
    assert "there are no traces" in refused(capsys, "profile", str(tmp_path))
    assert "no flow 'nope'" in refused(capsys, "profile", str(folder), "--flow", "nope")


@pytest.mark.parametrize(("count", "text"), [(12, "12 bytes"), (2048, "2.0 KB"), (3 << 19, "1.5 MB"), (5 << 30, "5.0 GB")])
def test_sizes_are_told_as_people_say_them(count: int, text: str) -> None:
    assert bytes_text(count) == text
