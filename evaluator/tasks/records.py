"""Records of data sets: from a file here (JSONL read as it is, Parquet and CSV by `datasets`), or from the Hugging Face hub."""
import importlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from vortex.errors import CampaignError, MissingExtra
from vortex.serving.hub import hub_answers

Record: TypeAlias = Mapping[str, Any]
KINDS = {".parquet": "parquet", ".csv": "csv"}
HUB_DOWN = ("Download it where there is a network, or give a local file of the same columns: math:NAME=FILE.jsonl "
            "(Parquet and CSV as well).")


def read_file(path: str) -> list[Record]:
    """The records of a JSONL, Parquet or CSV file. Raises CampaignError, MissingExtra."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise CampaignError(f"there is no file {path}", hint="Paths are relative to the folder that the command runs in.")
    if file.suffix in KINDS:
        return _loaded(path, KINDS[file.suffix], data_files=str(file), split="train")
    if file.suffix not in (".jsonl", ".ndjson"):
        raise CampaignError(f"{path} is of no known kind", hint="Known: .jsonl, .parquet, .csv.")
    return list(_lines(file))


def read_hub(name: str, split: str, revision: str | None = None, config: str | None = None) -> list[Record]:
    """The records of a data set of the hub, from its cache where it lies there. Raises CampaignError, MissingExtra."""
    return _loaded(f"the data set {name}", name, name=config, split=split, revision=revision)


def _lines(file: Path) -> Iterator[Record]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"cannot read {file}: {error}") from error
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise CampaignError(f"{file}:{place} is not JSON: {error}", hint="A JSONL file has one object a line.") from error
        if not isinstance(record, dict):
            raise CampaignError(f"{file}:{place} is no object", hint="A JSONL file has one object a line.")
        yield record


def _loaded(told: str, path: str, **how: Any) -> list[Record]:
    try:
        import datasets  # most of a second, and only some tasks are read with it
    except ImportError as error:
        raise MissingExtra("datasets is not installed", hint='pip install "vortex-platform[tasks]"') from error
    try:
        with _quiet(datasets):
            return [dict(record) for record in datasets.load_dataset(path, **how)]
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CampaignError(f"cannot load {told}: {first}", hint=HUB_DOWN) from error


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No bars; and where no hub answers, what lies in the cache or nothing: the client would ask for half a minute."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    bars = datasets.utils.logging.is_progress_bar_enabled()
    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if not hub_answers():
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    datasets.disable_progress_bar()
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
        if bars:
            datasets.enable_progress_bar()


def column(records: Sequence[Record], names: Sequence[str], place: str) -> str:
    """The first of `names` that every record has a value for. Raises CampaignError naming the columns found and wanted."""
    if not records:
        raise CampaignError(f"{place} holds no problem")
    for name in names:
        if all(record.get(name) not in (None, "", []) for record in records):
            return name
    for name in names:
        lacking = [index for index, record in enumerate(records) if record.get(name) in (None, "", [])]
        if len(lacking) < len(records):
            raise CampaignError(f"{place}: {len(lacking)} of {len(records)} problems have no {name}; the first is problem "
                                f"{lacking[0]}", hint="Without it nothing can be scored: fill it in, or take the problem out.")
    empty = [name for name in names if name in records[0]]
    if empty:
        raise CampaignError(f"{place}: the column {empty[0]} is empty in every problem", hint="Without it nothing can be scored.")
    raise CampaignError(f"{place} has no column {' or '.join(names)}", hint=f"Columns found: {', '.join(records[0])}.")


def distinct(texts: Sequence[str], place: str) -> None:
    """Raises CampaignError for a problem that stands twice: each counts once, and its answers may contradict each other."""
    twice = [text for text, times in Counter(texts).items() if times > 1]
    if twice:
        raise CampaignError(f"{place}: a problem stands {texts.count(twice[0])} times: {twice[0][:60]!r}",
                            hint="Each problem counts once: take a copy of the data without repeats.")
