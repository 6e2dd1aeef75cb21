"""`--cluster FILE`: every setting of the workers in a file, a mistake told with its line before anything is written."""
import re
from dataclasses import fields
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.cli.options import means
from agent.cluster_file import ClusterTable, parse_cluster
from evaluator.cluster import ClusterSettings
from vortex.errors import EngineError

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_a_file_can_say_all_that_there_is_to_say() -> None:
    assert set(ClusterTable.model_fields) ^ {one.name for one in fields(ClusterSettings)} == {"memory_gib", "memory_bytes"}
    assert ClusterTable().settings == parse_cluster("", "c") == ClusterSettings()


@pytest.mark.parametrize(("text", "expected"), [
    ("workers = 2", ClusterSettings(workers=2)),
    ("gpus_per_worker = 4\nthreads = 8", ClusterSettings(gpus_per_worker=4, threads=8)),
    ("memory_gib = 0.5", ClusterSettings(memory_bytes=512 << 20)),
    ("memory_gib = 64\nload_s = 900", ClusterSettings(memory_bytes=64 << 30, load_s=900.0)),
    ('address = "ray://head:10001"\nsilent_s = 5.5\nlives = 1',
     ClusterSettings(address="ray://head:10001", silent_s=5.5, lives=1)),
])
def test_settings_are_read_in_the_units_of_their_names(text: str, expected: ClusterSettings) -> None:
    assert parse_cluster(f"[cluster]\n{text}\n", "c") == expected


@pytest.mark.parametrize(("text", "line", "words"), [
    ("[cluster]\nworkers = 2\ngpu_per_worker = 2", 3, "unknown key 'gpu_per_worker' in [cluster]\n  Did you mean 'gpus_per"),
    ("[cluster]\nmemory_bytes = 1", 2, "Did you mean 'memory_gib'"),
    ("workers = 2", 1, "unknown key 'workers' in the file\n  Allowed in the file: cluster"),
    ("[cluster]\nworkers = 0", 2, "workers: input should be greater than or equal to 1"),
    ("[cluster]\nworkers = true", 2, "workers: input should be a valid integer\n  Leave workers out for its default, None"),
    ('[cluster]\n\nmemory_gib = "4"', 3, "input should be a valid number\n  Leave memory_gib out for its default, 4.0"),
    ("[cluster]\nload_s = inf", 2, "load_s: input should be a finite number"),
    ("[cluster]\nlives = -1", 2, "lives: input should be greater than or equal to 1"),
    ('[cluster]\naddress = ""', 2, "address: string should have at least 1 character"),
    ("cluster = 4", 1, "'cluster' must be a table"),
    ("[cluster]\nworkers =", 2, "not TOML: Invalid value"),
])
def test_a_mistake_is_told_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(EngineError) as caught:
        parse_cluster(text, "my.toml")
    assert caught.value.report().startswith(f"my.toml:{line}  EngineError")
    assert words in caught.value.report()


@pytest.mark.parametrize(("ray", "workers", "expected"), [
    (None, None, ClusterSettings(address="head:6379", workers=3, threads=2)),
    ("auto", None, ClusterSettings(address="auto", workers=3, threads=2)),
    (None, 5, ClusterSettings(address="head:6379", workers=5, threads=2)),
])
def test_options_go_before_the_file(tmp_path: Path, ray: str | None, workers: int | None, expected: ClusterSettings) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[cluster]\naddress = "head:6379"\nworkers = 3\nthreads = 2\n')
    assert means(None, file, ray, workers, False).cluster == expected
    assert means(None, None, ray, workers, False).cluster == ClusterSettings(address=ray, workers=workers)


@pytest.mark.parametrize("words", [["run", "quickstart"], ["resume"], ["eval", "quest"], ["confirm"]])
@pytest.mark.parametrize(("text", "told"), [("[cluster]\nworker = 1\n", "c.toml:2  EngineError"), (None, "cannot read")])
def test_every_command_with_workers_refuses_a_bad_file_first(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                             words: list[str], text: str | None, told: str) -> None:
    file, archive = tmp_path / "c.toml", tmp_path / "results.db"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main([*words, "--cluster", str(file), "--db", str(archive)])
    assert ended.value.code == 2 and told in capsys.readouterr().err
    assert not archive.exists()


def test_the_file_in_the_docs_is_read() -> None:
    texts = [text for text in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "[cluster]" in text]
    assert [parse_cluster(text, PAGE.name) for text in texts] == [
        ClusterSettings(address="auto", workers=4, gpus_per_worker=2, threads=8, memory_bytes=64 << 30, load_s=900.0,
                        silent_s=30.0, lives=3)]
