"""The thirteen tasks as a model gets them: what A.2 of RULER says of each, at any length, fitted to the model's tokens."""
import re
from hashlib import sha256

import pytest

from evaluator.tasks.door import find_task
from evaluator.tasks.reader import Reader
from evaluator.tasks.ruler.draw import Draw, FaithfulDraw
from evaluator.tasks.ruler.family import KINDS
from evaluator.tasks.task import Sample

# task, tokens to be generated, needle lines (None: one more than units), answers, tokens of a unit here at most
TABLE = [
    ("niah_single_1", 128, 1, 1, 40), ("niah_single_2", 128, 1, 1, 4), ("niah_single_3", 128, 1, 1, 4),
    ("niah_multikey_1", 128, 4, 1, 4), ("niah_multikey_2", 128, None, 1, 40), ("niah_multikey_3", 128, None, 1, 110),
    ("niah_multivalue", 128, 4, 4, 4), ("niah_multiquery", 128, 4, 4, 4), ("vt", 30, 0, 5, 40), ("cwe", 120, 0, 10, 30),
    ("fwe", 50, 0, 3, 8), ("qa_1", 32, 0, None, 160), ("qa_2", 32, 0, 1, 160),
]
# task, hash of a text by default and of a faithful one: they never change under one version
GOLDEN = [
    ("niah_single_1", "1f4eb8839116", "d393d7ad6af8"), ("niah_single_2", "94bd4705b8f9", "f1ceb304b241"),
    ("niah_single_3", "8096a873d105", "82b934c5476d"), ("niah_multikey_1", "453800d2cabd", "12dec647ec5f"),
    ("niah_multikey_2", "583021c3ba35", "4b8011b84938"), ("niah_multikey_3", "e1cd0cee9288", "cf0705061058"),
    ("niah_multivalue", "1fbb380d5b4e", "f94c7b232a8c"), ("niah_multiquery", "97c9bc32046e", "e917ab6bfdb8"),
    ("vt", "96327466088e", "5bc267043065"), ("cwe", "ff87ccdc43ae", "896e29913d7d"),
    ("fwe", "acf04b2a1038", "1ebbced69b70"), ("qa_1", "491fd2cef86c", "faec52e9203f"),
    ("qa_2", "725a9e901be2", "6a2acb15ff95"),
]


def asked(sample: Sample) -> str:
    """The problem, without the example before it."""
    opening = sample.prompt.rfind("The text that follows") if ":vt:" in sample.id else sample.prompt.rfind("A numbered list")
    return sample.prompt[max(opening, 0):]


def test_the_table_is_whole() -> None:
    assert [row[0] for row in TABLE] == [row[0] for row in GOLDEN] == list(KINDS)
    assert len(KINDS) == 13


@pytest.mark.parametrize("family", ["ruler", "ruler-faithful"])
@pytest.mark.parametrize(("task", "budget", "needles", "answers", "unit"), TABLE, ids=[row[0] for row in TABLE])
def test_samples_fill_the_length_and_hold_what_is_asked(family: str, task: str, budget: int, needles: int | None,
                                                        answers: int | None, unit: int, reader: Reader) -> None:
    name = f"{family}:{task}:4k"
    samples = find_task(name).samples(7, 3, reader)
    assert [sample.id for sample in samples] == [f"{name}/7/{index}" for index in range(3)]
    assert len({sample.prompt for sample in samples}) == 3
    totals = [reader.count(sample.prompt) + sample.max_new_tokens for sample in samples]
    assert max(totals) <= 4096
    assert (max if family == "ruler-faithful" else min)(totals) > 4096 - 3 * unit - (130 if task == "fwe" else 0)
    for sample, total in zip(samples, totals, strict=True):
        assert sample.max_new_tokens == budget == total - sample.facts["tokens"]
        assert answers is None or len(sample.answers) == answers
        lines = sample.facts["units"] + 1 if needles is None else needles
        assert sample.prompt.count("Keep in mind that the secret") == lines
        if needles != 0:
            assert all(sample.prompt.count(answer) == 1 for answer in sample.answers)


def test_the_opening_stands_behind_the_header_of_the_reply(reader: Reader, plain: Reader) -> None:
    chatting, bare = (find_task("ruler:niah_multivalue:1k").samples(1, 1, who)[0].prompt for who in (reader, plain))
    assert re.search(r"<\|end\|>\n<\|assistant\|>\nThe text gives for [\w -]+ the secret numbers$", chatting)
    assert re.search(r"in the text\? The text gives for [\w -]+ the secret numbers$", bare)
    assert "<|" not in bare


def test_one_needle_is_asked_for_in_the_singular(reader: Reader) -> None:
    prompt = find_task("ruler:niah_single_3:1k").samples(1, 1, reader)[0].prompt
    assert "One secret uuid is hidden" in prompt
    assert prompt.endswith(" the secret uuid")


def test_a_sample_does_not_depend_on_how_many_are_drawn(reader: Reader) -> None:
    for task in KINDS:
        few, many = (find_task(f"ruler:{task}:1k").samples(5, count, reader) for count in (2, 3))
        assert few == many[:2]


def test_a_length_may_be_written_in_two_ways(reader: Reader) -> None:
    short, long = (find_task(f"ruler:qa_1:{length}").samples(5, 1, reader)[0] for length in ("2k", "2048"))
    assert short.prompt == long.prompt
    assert short.prompt != find_task("ruler:qa_1:2k").samples(6, 1, reader)[0].prompt


def test_a_chain_is_asked_in_its_order(reader: Reader) -> None:
    for sample in find_task("ruler:vt:2k").samples(3, 4, reader):
        lines = re.findall(r"LET (\w{5}) = (\w+)", asked(sample))
        assert [name for name, _ in lines] == list(sample.answers)
        assert [source for _, source in lines][1:] == list(sample.answers[:-1])
        assert sample.prompt.endswith(f"The number {lines[0][1]} is held by 5 variables, which are:")
        assert sample.facts["depths"] == sorted(sample.facts["depths"])
        assert len(re.findall(r"LET (\w{3}) = (\w+)", sample.prompt)) == 5


@pytest.mark.parametrize(("length", "common", "other", "example"), [("4k", 30, 3, 190), ("2k", 6, 1, 40)])
def test_common_words_come_as_often_as_told(length: str, common: int, other: int, example: int, reader: Reader) -> None:
    sample = find_task(f"ruler:cwe:{length}").samples(3, 1, reader)[0]
    counts: dict[str, int] = {}
    for word in re.findall(r"\d+\. (.+?)(?= \d+\. |\n)", asked(sample)):
        counts[word] = counts.get(word, 0) + 1
    assert all(counts.pop(word) == common for word in sample.answers)
    assert set(counts.values()) == {other}
    assert len(counts) == sample.facts["units"] - 10
    assert sample.prompt.count(f" {example}. ") == 2 and "\n1. " in sample.prompt


def test_coded_words_fall_with_the_square_of_their_rank(reader: Reader) -> None:
    sample = find_task("ruler:fwe:4k").samples(3, 1, reader)[0]
    words = asked(sample).split()
    units = sample.facts["units"]
    assert sample.facts["vocabulary"] == (4096 - 50) // 50
    shares = (.60793, .15198, .06755, .038)              # 1 / (rank^2 zeta(2))
    assert [words.count(word) for word in ("...", *sample.answers)] == [int(units * share) for share in shares]


def test_a_question_has_its_document(reader: Reader) -> None:
    for task, gold in (("qa_1", 1), ("qa_2", 2)):
        for sample in find_task(f"ruler:{task}:2k").samples(3, 5, reader):
            documents = re.findall(r"Document \d+:\n(.*?)(?=\n\nDocument|\n\nAnswer)", sample.prompt, re.DOTALL)
            assert len(documents) == sample.facts["units"]
            assert len(sample.facts["gold"]) == gold
            assert any(sample.answers[0] in documents[place] for place in sample.facts["gold"])
            assert sample.facts["source"] == "own documents"


@pytest.mark.parametrize(("task", "own", "faithful"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_texts_never_change(task: str, own: str, faithful: str) -> None:
    kinds = [KINDS[task].ready(4096, mode, lambda text: len(text.split())) for mode in (False, True)]
    texts = [kind.draw(draw, 60) for kind, draw in zip(kinds, (Draw("golden", 1, 2), FaithfulDraw("golden", 42)), strict=True)]
    assert [sha256(repr((t.text, t.opening, t.answers)).encode()).hexdigest()[:12] for t in texts] == [own, faithful]
