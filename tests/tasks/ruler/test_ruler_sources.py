"""Texts of other people: read from a folder here, or from the hub; nothing takes their place unsaid."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from evaluator.tasks import records
from evaluator.tasks.door import find_task
from evaluator.tasks.reader import Reader
from evaluator.tasks.ruler import corpora
from evaluator.tasks.ruler.draw import Draw, FaithfulDraw
from evaluator.tasks.ruler.family import KINDS
from evaluator.tasks.ruler.questions import Questions
from vortex.errors import CampaignError


def squad_rows() -> list[dict[str, Any]]:
    """Twenty articles of six paragraphs of two questions, one of which has no answer."""
    return [{"id": f"{a}-{p}-{q}", "title": f"Article {a}", "question": f"Which colour is {a}.{p}.{q}?",
             "context": f"Paragraph {p} of article {a} says that its colour is c{a}x{p}.",
             "answers": {"text": [] if q else [f"c{a}x{p}", f"the colour c{a}x{p}"], "answer_start": [] if q else [1, 1]}}
            for a in range(20) for p in range(6) for q in range(2)]


def hotpot_rows() -> list[dict[str, Any]]:
    """Thirty questions over ten titled documents each, of which documents 3 and 7 are needed."""
    return [{"id": str(n), "question": f"Which river passes town {n}?", "answer": f"river{n}", "type": "bridge", "level": "hard",
             "supporting_facts": {"title": [f"Title {n}.7", f"Title {n}.3"], "sent_id": [0, 1]},
             "context": {"title": [f"Title {n}.{d}" for d in range(10)],
                         "sentences": [[f"Sentence of {n}.{d}. ", f"It speaks of river{n if d in (3, 7) else 'x'}."]
                                       for d in range(10)]}}
            for n in range(30)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("VORTEX_RULER_DATA", str(tmp_path))
    (tmp_path / "squad.jsonl").write_text("\n".join(json.dumps(row) for row in squad_rows()))
    datasets.Dataset.from_list(hotpot_rows()).to_parquet(str(tmp_path / "hotpotqa.parquet"))
    corpora.load.cache_clear()
    find_task.cache_clear()
    yield tmp_path
    corpora.load.cache_clear()
    find_task.cache_clear()


def test_squad_asks_of_one_article_first(data: Path) -> None:
    kind = KINDS["qa_1"]
    assert isinstance(kind, Questions)
    draft = kind.reading("squad").draw(Draw("sources", 20_000, 0), 6)
    documents = draft.text.split("Document ")[1:]
    article = draft.answers[0].split("x")[0][1:]
    assert len(documents) == 6 and all(f"of article {article} says" in text for text in documents)
    assert f"colour is {draft.answers[0]}." in documents[draft.facts["gold"][0]]
    assert draft.answers[1] == f"the colour {draft.answers[0]}"
    assert draft.facts["source"] == "squad" and draft.facts["part"] == "search"


def test_squad_has_the_questions_with_answers_alone(data: Path) -> None:
    corpus = corpora.load("squad")
    assert len(corpus.questions) == 120 and len(corpus.documents) == 120
    assert all(len(question.more) == 5 for question in corpus.questions)


def test_hotpot_takes_its_ten_documents_along(data: Path) -> None:
    kind = KINDS["qa_2"]
    assert isinstance(kind, Questions)
    draft = kind.reading("hotpotqa").draw(FaithfulDraw("sources", 42).at(4), 14)
    documents = draft.text.split("Document ")[1:]
    assert draft.answers == ("river4",) and "town 4?" in draft.text
    assert sum("Title 4." in text for text in documents) == 10
    assert [("river4" in text) for text in documents].count(True) == 2
    assert all("river4." in documents[place] for place in draft.facts["gold"])


def test_parts_of_a_data_set_ask_nothing_twice(data: Path) -> None:
    kind = KINDS["qa_1"]
    assert isinstance(kind, Questions)
    asked = [{kind.reading("squad").draw(Draw("sources", seed, index), 3).text.rsplit("Question: ")[1] for index in range(10)}
             for seed in (20_000, 1 << 32, 2 << 32)]
    assert [len(questions) for questions in asked][:2] == [10, 10]
    assert not asked[0] & asked[1] and not asked[0] & asked[2] and not asked[1] & asked[2]


def test_more_documents_than_there_are_is_refused(data: Path, reader: Reader) -> None:
    with pytest.raises(CampaignError, match=r"ruler:qa_1:16k:squad: .* documents are wanted; there are 120"):
        find_task("ruler:qa_1:16k:squad").samples(1, 1, reader)


def test_the_fingerprint_tells_the_data(data: Path) -> None:
    before = find_task("ruler:qa_1:1k:squad").fingerprint()
    assert before != find_task("ruler:qa_1:1k").fingerprint()
    (data / "squad.jsonl").write_text("\n".join(json.dumps(row) for row in squad_rows()[12:]))
    corpora.load.cache_clear()
    assert find_task("ruler:qa_1:1k:squad").fingerprint() != before


def test_essays_are_begun_again_where_they_end(data: Path, reader: Reader) -> None:
    (data / "essays.txt").write_text("The tide turned at four. Nobody saw it! Was anyone there?\n\nOnly gulls.")
    sample = find_task("ruler:niah_single_2:1k:essays").samples(1, 1, reader)[0]
    assert sample.prompt.count("Only gulls. The tide turned at four.") > 10
    assert "essays" in find_task("ruler:niah_single_2:1k:essays").fingerprint()


ESSAY_ROWS = [{"title": f"Essay {n}", "text": f"The tide of day {n} turned at four.\n\nNobody saw it!"} for n in range(3)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data set of essays that `datasets` reads as it reads one of the hub, from its name."""
    monkeypatch.delenv("VORTEX_RULER_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(corpora, "ESSAYS", str(tmp_path / "essays"))
    (tmp_path / "essays").mkdir()
    datasets.Dataset.from_list(ESSAY_ROWS).to_parquet(str(tmp_path / "essays" / "essays.parquet"))
    forget_essays()
    yield tmp_path / "essays"
    forget_essays()


def forget_essays() -> None:
    corpora._hub_essays.cache_clear()
    find_task.cache_clear()


def test_essays_of_the_hub_are_read_in_their_order(hub: Path, reader: Reader) -> None:
    task = find_task("ruler:niah_single_2:1k:essays")
    told = task.samples(1, 1, reader)[0].prompt
    assert "of day 0 turned at four. Nobody saw it! The tide of day 1" in told and "Essay" not in told
    assert task.fingerprint() != find_task("ruler:niah_single_2:1k").fingerprint()


def test_essays_in_records_are_those_in_a_text(data: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the same essays come from, the same problems are asked."""
    found = {corpora.essays()[1]}
    monkeypatch.setenv("VORTEX_RULER_DATA", str(data))
    for name, text in (("essays.jsonl", "\n".join(json.dumps(row) for row in ESSAY_ROWS)),
                       ("essays.txt", "\n\n".join(row["text"] for row in ESSAY_ROWS))):
        (data / name).write_text(text)
        place, digest = corpora.essays()
        assert Path(place).name == name
        found.add(digest)
    assert len(found) == 1


def test_essays_of_other_columns_are_refused(hub: Path) -> None:
    datasets.Dataset.from_list([{"title": "?", "essay": "..."}]).to_parquet(str(hub / "essays.parquet"))
    with pytest.raises(CampaignError, match="the essays have no column text"):
        find_task("ruler:niah_single_2:1k:essays")


def test_other_columns_are_refused(data: Path) -> None:
    (data / "squad.jsonl").write_text(json.dumps({"question": "?", "text": "..."}))
    with pytest.raises(CampaignError, match="no column title or context or answers") as caught:
        corpora.load("squad")
    assert "Columns found: question, text" in caught.value.hint


def test_a_folder_without_the_data_is_refused(data: Path) -> None:
    (data / "squad.jsonl").unlink()
    with pytest.raises(CampaignError, match=r"holds no squad\.jsonl or squad\.parquet"):
        corpora.load("squad")


@pytest.mark.parametrize("name", ["squad", "hotpotqa"])
def test_no_hub_is_refused_with_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VORTEX_RULER_DATA", raising=False)
    monkeypatch.setattr(records, "hub_answers", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    corpora.load.cache_clear()
    with pytest.raises(CampaignError, match="cannot load the data set") as caught:
        corpora.load(name)
    assert "VORTEX_RULER_DATA" in caught.value.hint


def test_no_hub_is_refused_for_essays_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VORTEX_RULER_DATA", raising=False)
    monkeypatch.setattr(records, "hub_answers", lambda: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    forget_essays()
    with pytest.raises(CampaignError, match="cannot load the data set baber/paul_graham_essays") as caught:
        find_task("ruler:niah_single_2:1k:essays")
    assert "essays.jsonl or essays.parquet" in caught.value.hint and "our own prose" in caught.value.hint
