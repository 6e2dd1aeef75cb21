"""Records of data sets: from a file here (Parquet by `datasets`), or from the Hugging Face hub; and what may stand in them."""
import importlib
import math
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from evaluator.tasks.answers import unwrapped
from evaluator.tasks.local import find_file, read_csv, read_lines
from vortex.errors import CampaignError, MissingExtra
from vortex.serving.hub import hub_answers

Record: TypeAlias = Mapping[str, Any]
HUB_DOWN = ("Download it where there is a network, or give a local file of the same columns: math:NAME=FILE.jsonl "
            "(Parquet and CSV as well).")


def read_file(path: str) -> list[Record]:
    """The records of a JSONL, Parquet or CSV file. Raises CampaignError, MissingExtra."""
    file = find_file(path)
    if file is None:
        raise CampaignError(f"there is no file {path}", hint="Paths are relative to the folder that the command runs in.")
    if file.suffix == ".parquet":
        return _loaded(path, "parquet", data_files=str(file), split="train")
    if file.suffix == ".csv":
        return [*read_csv(file)]
    if file.suffix not in (".jsonl", ".ndjson"):
        raise CampaignError(f"{path} is of no known kind", hint="Known: .jsonl, .parquet, .csv.")
    return [*read_lines(file)]


def read_hub(name: str, split: str, revision: str | None = None, config: str | None = None) -> list[Record]:
    """The records of a data set of the hub, from its cache where it lies there. Raises CampaignError, MissingExtra."""
    return _loaded(f"the data set {name}", name, name=config, split=split, revision=revision)


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
        if not any(_absent(record.get(name)) for record in records):
            return name
    for name in names:
        lacking = [index for index, record in enumerate(records) if _absent(record.get(name))]
        if len(lacking) < len(records):
            raise CampaignError(f"{place}: {len(lacking)} of {len(records)} problems have no {name}; the first is problem "
                                f"{lacking[0]}", hint="Without it nothing can be scored: fill it in, or take the problem out.")
    empty = [name for name in names if name in records[0]]
    if empty:
        raise CampaignError(f"{place}: the column {empty[0]} is empty in every problem", hint="Without it nothing can be scored.")
    raise CampaignError(f"{place} has no column {' or '.join(names)}", hint=f"Columns found: {', '.join(records[0])}.")


def _absent(value: object) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def question(value: object, place: str) -> str:
    """What is asked, as it stands. Raises CampaignError for what is no text."""
    if not isinstance(value, str) or _absent(value):
        raise CampaignError(f"{place}: {reprlib.repr(value)} is no text", hint="What is asked stands in quotes.")
    return value


def right_answer(value: object, place: str) -> str:
    """A text, or a number as it is written. Raises CampaignError for what is neither, and where only signs of setting stand."""
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not known or (isinstance(value, float) and not math.isfinite(value)):
        raise CampaignError(f"{place}: the answer {reprlib.repr(value)} is no text and no number",
                            hint="Several answers of a problem of your own stand in a list.")
    if not unwrapped(str(value)):
        raise CampaignError(f"{place}: the answer {reprlib.repr(value)} says nothing",
                            hint="Dollars, spaces and a dot at the end do not count.")
    return str(value)


def distinct(texts: Sequence[str], place: str) -> None:
    """Raises CampaignError for a problem that stands twice: each counts once, and its answers may contradict each other."""
    twice = [text for text, times in Counter(texts).items() if times > 1]
    if twice:
        raise CampaignError(f"{place}: a problem stands {texts.count(twice[0])} times: {twice[0][:60]!r}",
                            hint="Each problem counts once: take a copy of the data without repeats.")
