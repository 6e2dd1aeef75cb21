"""Texts of other people, from the hub or from files here: SQuAD 2.0 and HotpotQA in the shape of `qa`, and essays."""
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evaluator.tasks.records import Record, read_file, read_hub
from vortex.errors import CampaignError

FOLDER = "VORTEX_RULER_DATA"
ESSAYS = "baber/paul_graham_essays"   # what other harnesses of RULER hide their needles in: an essay a record, in `text`
_KINDS = (".jsonl", ".parquet", ".csv")


@dataclass(frozen=True)
class Question:
    """`context`: the documents that always come along, `gold` those of them that hold the answer, `more`: close by."""

    text: str
    answers: tuple[str, ...]
    context: tuple[int, ...]
    gold: tuple[int, ...]
    more: tuple[int, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """Questions, and all the documents that they and their distractors are taken from."""

    questions: tuple[Question, ...]
    documents: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Tells these contents from others."""
        return hashlib.blake2b(repr((self.questions, self.documents)).encode(), digest_size=8).hexdigest()


def squad(records: Sequence[Record]) -> Corpus:
    """Questions that have an answer; close by are the other paragraphs of their article."""
    _columns("SQuAD", records, ("title", "context", "question", "answers"))
    documents = sorted({str(record["context"]) for record in records})
    place = {text: index for index, text in enumerate(documents)}
    article: dict[str, dict[int, None]] = {}
    for record in records:
        article.setdefault(str(record["title"]), {})[place[str(record["context"])]] = None
    questions = []
    for record in records:
        gold, answers = place[str(record["context"])], tuple(str(text) for text in record["answers"]["text"])
        if answers:
            more = tuple(index for index in article[str(record["title"])] if index != gold)
            questions.append(Question(str(record["question"]), answers, (gold,), (gold,), more))
    return Corpus(tuple(questions), tuple(documents))


def hotpot(records: Sequence[Record]) -> Corpus:
    """Questions whose answer takes two of the ten documents that come along."""
    _columns("HotpotQA", records, ("question", "answer", "context", "supporting_facts"))
    contexts = [_titled(record["context"]) for record in records]
    documents = sorted({text for context in contexts for text in context.values()})
    place = {text: index for index, text in enumerate(documents)}
    questions = []
    for record, context in zip(records, contexts, strict=True):
        wanted = set(record["supporting_facts"]["title"])
        gold = tuple(place[text] for title, text in context.items() if title in wanted)
        along = tuple(place[text] for text in context.values())
        questions.append(Question(str(record["question"]), (str(record["answer"]),), along, gold))
    return Corpus(tuple(questions), tuple(documents))


def _titled(context: Mapping[str, Any]) -> dict[str, str]:
    return {title: f"{title}\n{''.join(sentences)}"
            for title, sentences in zip(context["title"], context["sentences"], strict=True)}


@dataclass(frozen=True)
class _Source:
    """A data set of the hub, and how it is read."""

    hub: str
    config: str
    read: Callable[[Sequence[Record]], Corpus]


SOURCES = {
    "squad": _Source("rajpurkar/squad_v2", "squad_v2", squad),
    "hotpotqa": _Source("hotpotqa/hotpot_qa", "distractor", hotpot),
}


@lru_cache(maxsize=2)
def load(name: str) -> Corpus:
    """`squad` or `hotpotqa`: NAME.jsonl, .parquet or .csv in the folder VORTEX_RULER_DATA, where it is set; else the hub.

    Raises CampaignError where it cannot be had or has other columns; nothing takes its place.
    """
    source = SOURCES[name]
    folder = os.environ.get(FOLDER)
    if folder is not None:
        return source.read(read_file(str(_in_folder(folder, [name + kind for kind in _KINDS]))))
    return source.read(_of_hub(name, source.hub, "validation", source.config, without="asks about documents written here"))


def essays() -> tuple[str, str]:
    """Where they are and the hash of their text: essays.txt, .jsonl, .parquet or .csv in the folder VORTEX_RULER_DATA, where it
    is set; else a data set of the hub. Raises CampaignError."""
    folder = os.environ.get(FOLDER)
    names = [f"essays{kind}" for kind in (".txt", *_KINDS)]
    place = ESSAYS if folder is None else str(_in_folder(folder, names))
    return place, hashlib.blake2b(_essay_text(place).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=2)
def essay_words(place: str, digest: str) -> tuple[str, ...]:
    """Of what `essays` gives; `digest` tells a file from what it held before. Raises CampaignError."""
    words = tuple(_essay_text(place).split())
    if not words:
        raise CampaignError(f"the essays {place} hold no words", hint="Name a file of plain text in UTF-8.")
    return words


def _essay_text(place: str) -> str:
    if place == ESSAYS:
        return _hub_essays()
    if not place.endswith(".txt"):
        return _joined(read_file(place))
    try:
        return Path(place).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"cannot read the essays {place}: {error}", hint="Name a file of plain text in UTF-8.") from error


@lru_cache(maxsize=1)
def _hub_essays() -> str:
    return _joined(_of_hub("essays", ESSAYS, "train", without="hides its needles in our own prose"))


def _joined(records: Sequence[Record]) -> str:
    """One essay a record."""
    _columns("the essays", records, ("text",))
    return "\n\n".join(str(record["text"]) for record in records)


def _of_hub(name: str, hub: str, split: str, config: str | None = None, *, without: str) -> Sequence[Record]:
    try:
        return read_hub(hub, split, config=config)
    except CampaignError as error:
        hint = (f"Download it where there is a network, or set {FOLDER} to a folder that holds its {split} split as "
                f"{name}.jsonl or {name}.parquet. Without :{name} the task {without}.")
        raise CampaignError(error.message, hint=hint) from error


def _in_folder(folder: str, names: Sequence[str]) -> Path:
    for path in (Path(folder).expanduser() / name for name in names):
        if path.is_file():
            return path
    raise CampaignError(f"{FOLDER} is {folder}, which holds no {' or '.join(names)}", hint=f"Put it there, or unset {FOLDER}.")


def _columns(told: str, records: Sequence[Record], wanted: Sequence[str]) -> None:
    if not records:
        raise CampaignError(f"the data of {told} hold no record")
    lacking = [name for name in wanted if name not in records[0]]
    if lacking:
        raise CampaignError(f"the data of {told} have no column {' or '.join(lacking)}",
                            hint=f"Columns found: {', '.join(records[0])}; wanted: {', '.join(wanted)}.")
