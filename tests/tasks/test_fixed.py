"""Tasks of given problems: maths sets by name and files of the user's own, asked through the model's template."""
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import datasets
import pytest

from evaluator.tasks import parts
from evaluator.tasks.door import find_task
from evaluator.tasks.fixed import FixedSet
from evaluator.tasks.maths import INSTRUCTION, SETS, canonical
from evaluator.tasks.reader import Reader
from evaluator.tasks.rendering import manner, rendered
from tests.tasks import asked
from vortex.errors import CampaignError

PROBE = Reader("probe", "embedded")


def lines(path: Path, records: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def problems(number: int) -> list[dict[str, Any]]:
    return [{"problem": f"What is {index} + 1?", "answer": index + 1} for index in range(number)]


@pytest.mark.parametrize(("template", "thinking", "ends"), [
    ("two-modes", True, "[assistant] "), ("two-modes", False, "<think>\n\n</think>\n\n"), ("one-mode", None, "[assistant] "),
    ("opens", None, "<think>"), ("opens-or-empty", True, "<think>\n"), ("opens-or-empty", False, "</think>\n\n"),
    ("plain", None, "Say it."),
])
def test_a_prompt_ends_as_its_mode_asks(tmp_path: Path, template: str, thinking: bool | None, ends: str) -> None:
    reader = asked.model(tmp_path, template, thinking)
    prompt = rendered(reader, manner(reader), "Say it.")
    assert prompt.endswith(ends) and "Say it." in prompt


@pytest.mark.parametrize(("template", "thinking", "why"), [
    ("two-modes", None, "does not say which"), ("one-mode", True, "does not know thinking modes"),
    ("one-mode", False, "does not know"), ("plain", False, "no chat template"),
    ("deaf", False, "asks for a prompt that ends with an"),
    ("contrary", True, "ends without an empty block"), ("contrary", False, "ends with an empty block"),
])
def test_a_mode_left_open_or_not_kept_is_refused(tmp_path: Path, template: str, thinking: bool | None, why: str) -> None:
    reader = asked.model(tmp_path, template, thinking)
    with pytest.raises(CampaignError, match=why):
        rendered(reader, manner(reader), "Say it.")


def test_answers_of_a_model_that_thinks_count_after_its_thinking_alone(tmp_path: Path) -> None:
    task = find_task("math:small")
    for template, thinking, text, score in (
            ("two-modes", True, r"\boxed{%s}", 0), ("two-modes", True, r"hm</think>\boxed{%s}", 1),
            ("two-modes", False, r"\boxed{%s}", 1), ("opens", None, r"\boxed{%s}", 0), ("one-mode", None, r"\boxed{%s}", 1)):
        sample = task.samples(1, 1, asked.model(tmp_path / f"{template}{thinking}", template, thinking))[0]
        assert task.grade(sample, text % sample.answer).score == score


def test_the_small_set_is_in_good_order() -> None:
    samples = find_task("math:small").samples(7, 100, PROBE)
    assert len({sample.prompt for sample in samples}) == len(samples) == 40
    assert all(sample.prompt.endswith(INSTRUCTION) and int(sample.answer) >= 0 for sample in samples)
    assert {sample.id for sample in samples} == {f"math:small/7/{place}" for place in range(40)}


def test_problems_are_shuffled_by_seed_and_keep_their_places() -> None:
    task = find_task("math:small")
    first, again, other = (task.samples(seed, 40, PROBE) for seed in (1, 1, 2))
    assert first == again
    assert [one.id.split("/")[2] for one in first] != [one.id.split("/")[2] for one in other]
    assert {one.prompt for one in first} == {one.prompt for one in other}
    assert task.samples(1, 5, PROBE) == first[:5]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_set_is_read_from_local_files(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / f"aime.{kind}"
    records = [{"problem": "One?", "answer": "001"}, {"problem": "Two?", "answer": "$2$"}]
    if kind == "jsonl":
        lines(path, records)
    else:
        getattr(datasets.Dataset.from_list(records), f"to_{kind}")(str(path))
    task = find_task(f"math:aime24={path}")
    assert task.name == "math:aime24"
    assert sorted(sample.answer for sample in task.samples(1, 9, PROBE)) == ["1", "2"]


@pytest.mark.parametrize(("records", "why", "hint"), [
    ([{"question": "One?", "answer": 1}], "no column problem", "Columns found: question, answer."),
    ([{"problem": "One?", "solution": 1}], "no column answer", "Columns found: problem, solution."),
    ([{"problem": "One?", "answer": 1}, {"problem": "Two?", "answer": None}], "1 of 2 problems have no answer", "fill it in"),
    ([{"problem": "One?", "answer": 1000}], "no whole number from 0 to 999", "Is this file the set"),
    ([{"problem": "One?", "answer": r"\pi"}], "no whole number", ""), ([], "holds no problem", ""),
    ([{"problem": "One?", "answer": 1}] * 2, "stands 2 times", "without repeats"),
])
def test_a_set_that_is_not_what_its_name_says_is_refused(tmp_path: Path, records: list[dict[str, Any]], why: str,
                                                         hint: str) -> None:
    with pytest.raises(CampaignError, match=why) as refusal:
        find_task(f"math:aime25={lines(tmp_path / 'a.jsonl', records)}").samples(1, 1, PROBE)
    assert hint in refusal.value.hint


def test_a_hub_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.tasks.records.hub_answers", lambda: False)
    with pytest.raises(CampaignError, match="cannot load the data set HuggingFaceH4/aime_2024") as refusal:
        find_task("math:aime24").samples(1, 1, PROBE)
    assert "math:NAME=FILE" in refusal.value.hint


@pytest.mark.parametrize(("name", "answer", "kept"), [
    ("aime24", "025", "25"), ("amc23", "27.0", "27"), ("amc23", "1,024", "1024"), ("aime25", r"336^\circ", "336"),
    ("math500", r" \frac{1}{2} ", r"\frac{1}{2}"),
])
def test_right_answers_are_brought_into_one_form(name: str, answer: str, kept: str) -> None:
    assert canonical(SETS[name], answer, "here") == kept


def test_files_of_ones_own_take_scorers_lists_and_limits(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", [{"prompt": "Red?", "answer": "red"}, {"prompt": "3 or 4?", "answer": [3, 4.0],
                                            "scorer": "number", "max_new_tokens": 5}])
    task = find_task(f"file:{path}:contains-any")
    by_prompt = {sample.prompt: sample for sample in task.samples(1, 2, PROBE)}
    assert task.name == "file:mine"
    assert task.grade(by_prompt["Red?"], "It is red.").score == 1
    assert task.grade(by_prompt["3 or 4?"], "say 4").score == 1
    assert by_prompt["3 or 4?"].max_new_tokens == 5
    assert find_task(f"file:{path}").grade(by_prompt["Red?"], "It is red.").score == 0


@pytest.mark.parametrize(("text", "why", "hint"), [
    ('{"prompt": "a", "answer": "b"}\n{"prompt": ', ":2 is not JSON", "one object a line"), ("[1]", ":1 is no object", ""),
    ('{"text": "a", "answer": "b"}', "no column prompt or question or problem", "Columns found: text, answer."),
    ('{"prompt": "a", "answer": []}', "the column answer is empty in every problem", "nothing can be scored"),
    ('{"prompt": "a", "answer": "b"}\n{"prompt": " a", "answer": "c"}', "stands 2 times: 'a'", "without repeats"),
    ('{"prompt": "a", "answer": [true]}', "no text and no number", ""),
    ('{"prompt": "a", "answer": "b", "scorer": "exakt"}', "no scorer 'exakt'", "Did you mean exact?"),
    ('{"prompt": "a", "answer": "b", "scorer": "number"}', "is no number", ""),
    ('{"prompt": 7, "answer": "b"}', "is no text", "in quotes"),
    ('{"prompt": "a", "answer": "b", "chance": 25}', "chance is 25", "less than 1"),
    ('{"prompt": "a", "answer": "b", "max_new_tokens": -1}', "max_new_tokens is -1", "from 1 on"), ("", "holds no problem", ""),
])
def test_a_file_that_cannot_be_scored_is_refused(tmp_path: Path, text: str, why: str, hint: str) -> None:
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(CampaignError, match=why) as refusal:
        find_task(f"file:{tmp_path / 'mine.jsonl'}").samples(1, 1, PROBE)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(("name", "why"), [
    ("file:none.jsonl", "there is no file none.jsonl"), ("file:mine.txt", "no file"), ("file:a.jsonl:nubmer", "no scorer"),
    ("math:aime", "no set math:aime"), ("maths:small", "no family"),
])
def test_tasks_that_do_not_exist_are_refused(name: str, why: str) -> None:
    with pytest.raises(CampaignError, match=why):
        find_task(name).samples(1, 1, PROBE)


def test_a_large_set_is_divided_and_a_small_one_is_not(tmp_path: Path) -> None:
    seeds = {part: parts.seed_for(part, 12345) for part in ("search", "confirm", "sealed")}
    large = find_task(f"math:amc23={lines(tmp_path / 'large.jsonl', [{'question': p['problem'], **p} for p in problems(500)])}")
    drawn = {part: {one.prompt for one in large.samples(seed, 500, PROBE)} for part, seed in seeds.items()}
    assert [len(one) for one in drawn.values()] == sorted([len(one) for one in drawn.values()], reverse=True)
    assert len(set.union(*drawn.values())) == sum(map(len, drawn.values())) == 500
    assert min(map(len, drawn.values())) > 25
    small = [find_task("math:small").samples(seed, 99, PROBE) for seed in seeds.values()]
    assert [{one.prompt for one in samples} for samples in small[1:]] == [{one.prompt for one in small[0]}] * 2
    assert large.samples(1, 1, PROBE)[0].facts["part"] == "search" and small[0][0].facts["part"] == "whole"


@pytest.mark.parametrize(("seed", "part"), [
    (0, "search"), (parts.RANGE - 1, "search"), (parts.RANGE, "confirm"), (2 * parts.RANGE, "sealed"), (1 << 62, "confirm"),
])
def test_a_seed_says_what_it_is_for(seed: int, part: str) -> None:
    assert parts.part_of_seed(seed) == part
    with pytest.raises(CampaignError):
        parts.part_of_seed(-1)


def test_other_contents_have_another_fingerprint(tmp_path: Path) -> None:
    numbers = count()
    seen = set()
    for records in (problems(2), problems(3), [{**problems(1)[0], "scorer": "number"}],
                    [{**problems(1)[0], "chance": 0.25}]):
        path = lines(tmp_path / f"{next(numbers)}.jsonl", records)
        task = find_task(f"file:{path}")
        assert isinstance(task, FixedSet)
        seen.add(task.fingerprint())
    assert len(seen) == 4
