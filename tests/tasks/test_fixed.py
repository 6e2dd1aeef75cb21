"""Tasks of given problems: maths sets by name and files of the user's own, asked through the model's template."""
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import datasets
import pytest

from evaluator.tasks import parts
from evaluator.tasks.door import find_task, same_problems
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
    records = [{"problem": "One?\u2028Or?", "answer": "001"}, {"problem": "Two?", "answer": "$2$"}]
    if kind == "jsonl":
        lines(path, records)
    else:
        getattr(datasets.Dataset.from_list(records), f"to_{kind}")(str(path))
    task = find_task(f"math:aime24={path}")
    assert task.name == "math:aime24"
    assert sorted(sample.answer for sample in task.samples(1, 9, PROBE)) == ["1", "2"]


MARK = b"\xef\xbb\xbf"                  # what some editors write before a text


@pytest.mark.parametrize(("kind", "text", "prompts", "answers"), [
    ("csv", b"prompt,answer\na,007\nb,4\nc,3.5\nd,NA\n", ["a", "b", "c", "d"], ["007", "4", "3.5", "NA"]),
    ("csv", MARK + b'prompt,answer,max_new_tokens,scorer,chance\n"a,\nb",1,9,number,.5\nc,x,,,\n', ["a,\nb", "c"], ["1", "x"]),
    ("csv", b"prompt,answer\n" + b"long " * 40_000 + b",1\n", [("long " * 40_000)], ["1"]),
    ("jsonl", '{"prompt": "a\u2028b", "answer": "c\u0085d"}\r\n\n'.encode(), ["a\u2028b"], ["c\u0085d"]),
    ("jsonl", MARK + b'{"prompt": "a", "answer": 3.5}', ["a"], ["3.5"]),
    ("jsonl", rb'{"prompt": "\ud83d\ude00", "answer": 1}', ["\U0001f600"], ["1"]),
])
def test_files_are_read_as_they_are_written(tmp_path: Path, kind: str, text: bytes, prompts: list[str],
                                            answers: list[str]) -> None:
    path = tmp_path / f"mine.{kind}"
    path.write_bytes(text)
    task = find_task(f"file:{path}")
    assert isinstance(task, FixedSet)
    assert [item.prompt for item in task.items] == prompts
    assert [item.wanted[0] for item in task.items] == answers


def test_columns_of_a_csv_that_are_numbers_are_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt,answer,max_new_tokens,scorer,chance\na,1,9,number,.5\nb,2,,,\n")
    task = find_task(f"file:{path}")
    assert isinstance(task, FixedSet)
    assert [(item.scorer, item.max_new_tokens, item.chance) for item in task.items] == [("number", 9, 0.5), ("exact", 256, None)]


@pytest.mark.parametrize(("kind", "text", "why"), [
    ("jsonl", '{"prompt": "a", "answer": ' + "9" * 5000 + "}", "mine.jsonl:1 holds a number of too many digits"),
    ("jsonl", '\n{"prompt": "a", "answer": ' + "[" * 100_000, "mine.jsonl:2 holds too many brackets"),
    ("jsonl", r'{"prompt": "\ud800", "answer": "b"}', "mine.jsonl:1 holds half of a surrogate pair"),
    ("jsonl", r'{"prompt": "a", "answer": "\udfff"}', "mine.jsonl:1 holds half of a surrogate pair"),
    ("csv", "prompt,answer\na,b,c\n", "mine.csv:2 has more cells"), ("csv", "prompt,answer,answer\n", "answer stands 2 times"),
    ("csv", 'prompt,answer\n"a,b\n', "cannot read .*mine.csv"), ("csv", "", "holds no problem"),
])
def test_a_file_that_cannot_be_read_is_refused_with_the_place(tmp_path: Path, kind: str, text: str, why: str) -> None:
    (tmp_path / f"mine.{kind}").write_text(text)
    with pytest.raises(CampaignError, match=why):
        find_task(f"file:{tmp_path / f'mine.{kind}'}").samples(1, 1, PROBE)


def test_a_problem_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "long.jsonl", [{"prompt": "the " * 5000, "answer": 1}])
    with pytest.raises(CampaignError, match="problem 0: 5,000 tokens, and probe reads at most 4,096"):
        find_task(f"file:{path}").samples(1, 1, PROBE)


@pytest.mark.parametrize(("names", "same"), [
    (["own", "copy"], True), (["own", "other"], False), (["ruler:vt:4k", "ruler:vt:4K"], True),
    (["ruler:cwe:4k", "ruler:vt:4k", "ruler:vt:4096"], True), (["ruler:vt:4k", "ruler-faithful:vt:4k"], False),
    (["math:aime24", "math:aime25", "math:small"], False), (["chain-30", "chain-10-1k"], False),
])
def test_two_names_of_the_same_problems_are_told(tmp_path: Path, names: list[str], same: bool) -> None:
    files = {name: lines(tmp_path / f"{name}.jsonl", problems(number)) for name, number in
             (("own", 2), ("copy", 2), ("other", 3))}
    asked = [f"file:{files[name]}" if name in files else name for name in names]
    assert same_problems(asked) == ((asked[-2], asked[-1]) if same else None)


@pytest.mark.parametrize(("records", "why", "hint"), [
    ([{"problem": "One?", "answer": float("nan")}], "answer nan is no text and no number", ""),
    ([{"problem": "One?", "answer": "25"}, {"problem": " ", "answer": "25"}], "1 of 2 problems have no problem", ""),
    ([{"problem": ["One?"], "answer": 1}], "is no text", ""),
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
    ('{"prompt": "a", "answer": "b"}\n{"prompt": "c", "answer": "  "}', "1 of 2 problems have no answer", "fill it in"),
    ('{"prompt": "a", "answer": ["b", " $ "]}', "says nothing", "Dollars"),
    ('{"prompt": "a", "answer": "$"}', "says nothing", ""),
    ('{"prompt": "a", "answer": NaN}', "answer nan is no text", ""), ('{"prompt": "a", "answer": -Infinity}', "no number", ""),
    ('{"prompt": "a", "answer": [[1, 2]]}', "no text and no number", ""),
    ('{"prompt": " ", "answer": 1}', "is empty in every", ""),
    ('{"prompt": "a", "answer": true}', "True is no text", ""),
    ('{"prompt": "a", "answer": 1, "scorer": 0}', "no scorer '0'", ""),
    ('{"prompt": "a", "answer": "2^10", "scorer": "number"}', "is no number", ""),
    ('{"prompt": "a", "answer": "b", "max_new_tokens": 0}', "max_new_tokens is 0", "from 1 on"),
    ('{"prompt": "a", "answer": "b", "max_new_tokens": false}', "max_new_tokens is False", ""),
    ('{"prompt": "a", "answer": "b", "max_new_tokens": 1.5}', "max_new_tokens is 1.5", ""),
    ('{"prompt": "a", "answer": "b", "max_new_tokens": -1}', "max_new_tokens is -1", "from 1 on"), ("", "holds no problem", ""),
])
def test_a_file_that_cannot_be_scored_is_refused(tmp_path: Path, text: str, why: str, hint: str) -> None:
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(CampaignError, match=why) as refusal:
        find_task(f"file:{tmp_path / 'mine.jsonl'}").samples(1, 1, PROBE)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(("name", "why"), [
    ("file:none.jsonl", "there is no file none.jsonl"), ("file:mine.txt", "no file"), ("file:a.jsonl:nubmer", "no scorer"),
    ("file:~nobody-of-this-name/x.jsonl", "there is no file"), (f"file:{'x' * 5000}.jsonl", "there is no file"),
    ("file:a\0b.jsonl", "there is no file"),
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
