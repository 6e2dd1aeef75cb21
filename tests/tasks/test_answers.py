"""What an answer says: the last closed box after any thinking, read as a whole number, a number, or mathematics."""
from fractions import Fraction
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.tasks import answers, judge
from evaluator.tasks.scorers import SCORERS, check, find_scorer
from evaluator.tasks.task import Grade
from vortex.errors import CampaignError

RIGHT, WRONG = 1.0, 0.0
INTEGERS = [
    ("204", r"\boxed{204}", RIGHT), ("204", r"so $\boxed{204}$.", RIGHT), ("25", r"\boxed{025}", RIGHT),
    ("27", r"\boxed{27.0}", RIGHT), ("1024", r"\boxed{1,024}", RIGHT), ("1024", r"\boxed{1{,}024}", RIGHT),
    ("32348", r"\boxed{\$32,\!348}", RIGHT), ("7", r"\boxed{\text{7}}", RIGHT), ("7", r"\boxed{\mathrm{ 7 }}", RIGHT),
    ("7", r"\boxed{\textbf{\text{7}}}", RIGHT), ("12", r"\boxed{m + n = 12}", RIGHT), ("336", r"\boxed{336^\circ}", RIGHT),
    ("336", r"\boxed{336^{\circ}}", RIGHT), ("-3", r"\boxed{-3}", RIGHT), ("-3", r"\boxed{−3}", RIGHT),
    ("13", r"first \boxed{12}, no: \boxed{13}", RIGHT), ("12", r"first \boxed{12}, no: \boxed{13}", WRONG),
    ("12", r"\boxed{12} and then \boxed{1", RIGHT), ("12", r"\boxed{12", WRONG), ("204", "the answer is 204", WRONG),
    ("204", "", WRONG), ("204", r"\boxed{}", WRONG), ("204", r"\boxed{20 4}", RIGHT), ("5", r"\boxed{\boxed{5}}", RIGHT),
    ("5", r"\fbox{5}", RIGHT), ("5", r"\boxed {5}", RIGHT), ("5", r"\boxed{5.}", RIGHT), ("5", r"\boxed{5.5}", WRONG),
    ("5", r"\boxed{$5$}", RIGHT), ("5", r"\boxed{\(5\)}", RIGHT), ("204", r"\boxed{\frac{408}{2}}", WRONG),
    ("12", r"\boxed{1,2}", WRONG), ("0", r"\boxed{000}", RIGHT), ("100000", r"\boxed{100\,000}", RIGHT),
    ("5", r"\boxed{.5}", WRONG), ("5", r"\boxed{x = .5}", WRONG),
]
MATHS = [
    (r"\frac{1}{2}", r"\boxed{0.5}", RIGHT), (r"\frac{1}{2}", r"\boxed{\dfrac12}", RIGHT), (r"\frac{1}{2}", r"\boxed{2}", WRONG),
    (r"\frac{2\sqrt{3}}{3}", r"\boxed{2/\sqrt{3}}", RIGHT), (r"50\%", r"\boxed{0.5}", RIGHT), (r"p - q", r"\boxed{p-q}", RIGHT),
    (r"\left( 3, \frac{\pi}{2} \right)", r"\boxed{(3,\pi/2)}", RIGHT), (r"\text{Evelyn}", r"\boxed{Evelyn}", RIGHT),
    (r"x \in [-2,7]", r"\boxed{[-2,7]}", RIGHT), ("1,-2", r"\boxed{-2,1}", RIGHT), ("1,-2", r"\boxed{-2,2}", WRONG),
    (r"11\sqrt2", r"\boxed{11\sqrt{2}}", RIGHT), (r"90^\circ", r"\boxed{90}", RIGHT), ("(C)", r"\boxed{\text{(C)}}", RIGHT),
    ("(x+1)^2", r"\boxed{x^2 + 2x + 1}", RIGHT), ("5", "x = 5, as was to be shown", WRONG), ("x=5", r"\boxed{5}", RIGHT),
    (r"6 - 5i", r"\boxed{6-5i}", RIGHT), (r"\frac{1}{2}", r"\boxed{\frac{1}{}}", WRONG),
    ("5", r"\boxed{.5}", WRONG), (".5", r"\boxed{0.5}", RIGHT),
]
NUMBERS = [
    ("3", "it is 3.0 m", RIGHT), ("1250.5", "about 1,250.50 m", RIGHT), ("0.5", "1/2", RIGHT), ("3", "3 or 4", WRONG),
    ("4", "3 or 4", RIGHT), ("3", r"\boxed{3} of 4", RIGHT), ("-2", "minus: −2", RIGHT), ("1e3", "1000", RIGHT),
    ("3", "none", WRONG), (".5", "it is .5", RIGHT), ("5", ".5", WRONG), ("0.5", r"\boxed{.5}", RIGHT),
    ("0.5", r"\boxed{\frac{1}{2}}", RIGHT), ("2", r"\boxed{\frac{1}{2}}", WRONG), ("-0.5", r"\boxed{\dfrac{-1}{2}}", RIGHT),
    ("-0.5", r"so $-\frac{1}{2}$.", RIGHT), ("2", r"\boxed{\sqrt{2}}", WRONG), ("3000", r"\boxed{3 000}", RIGHT),
    ("3000", "about 3 000 m", RIGHT), ("0", "3 000", WRONG), ("10", "pages 5-10", RIGHT), ("-10", "pages 5-10", WRONG),
    ("30000", r"\boxed{3 \times 10^4}", RIGHT), ("30000", "3 × 10^{4} m", RIGHT), ("4", r"3 \times 10^4", WRONG),
    ("10", r"\boxed{2^{10}}", WRONG), ("10", "it is 2^10", WRONG), ("2", "it is 2^{10}", WRONG), ("11", r"11\sqrt{2}", WRONG),
    ("0.5", r"3\frac{1}{2}", WRONG), ("5", r"\boxed{5 or 6}", WRONG), ("6", r"\boxed{5 or 6}", WRONG),
    ("2", r"\boxed{1,2}", WRONG), ("5", "**5**", RIGHT), ("5", "5 m^2", RIGHT), ("7", "x_2 = 7", RIGHT),
    ("1234", "1,234, or so", RIGHT),
    ("14", "3,14", WRONG), ("4", "3 + 4", WRONG), ("3000", "3,000", RIGHT), ("12", r"\boxed{x = 12}", RIGHT),
]
NO_NUMBERS = ["2^10", "red", "5 m", "3 or 4", "1,2", "5-10", r"\sqrt{2}", "1/0", "x = 12", "", "$"]
TEXTS = [
    ("exact", ("red",), " red\n", RIGHT), ("exact", ("red", "blue"), "blue", RIGHT), ("exact", ("red",), "Red", WRONG),
    ("contains-all", ("red", "Blue"), "BLUE, green", 0.5), ("contains-all", ("red",), "reddish", RIGHT),
    ("contains-any", ("red", "blue"), "blue", RIGHT), ("contains-any", ("red",), "green", WRONG),
]


def scored(scorer: str, wanted: tuple[str, ...], text: str) -> Grade:
    return find_scorer(scorer, "here")(wanted, text)


@pytest.mark.parametrize(("scorer", "gold", "text", "score"), [
    *(("integer", *case) for case in INTEGERS), *(("math", *case) for case in MATHS), *(("number", *case) for case in NUMBERS)])
def test_answers_are_read_as_their_scorer_says(scorer: str, gold: str, text: str, score: float) -> None:
    assert scored(scorer, (gold,), text).score == score


@pytest.mark.parametrize(("scorer", "wanted", "text", "score"), TEXTS)
def test_texts_are_found(scorer: str, wanted: tuple[str, ...], text: str, score: float) -> None:
    grade = scored(scorer, wanted, text)
    assert (grade.score, grade.exact) == (score, float(score == 1))


@pytest.mark.parametrize(("text", "thinking", "said"), [
    (r"<think>\boxed{1}</think>\boxed{2}", True, r"\boxed{2}"), (r"\boxed{1}</think>\boxed{2}", True, r"\boxed{2}"),
    (r"\boxed{1}", True, ""), (r"<think>\boxed{1}", None, ""), (r"\boxed{1}", False, r"\boxed{1}"),
    (r"\boxed{1}", None, r"\boxed{1}"),
    ("a</think>b</think>c", None, "c"), ("a</think>b<think>c", None, ""),
])
def test_what_was_thought_does_not_count(text: str, thinking: bool | None, said: str) -> None:
    assert answers.said(text, thinking) == said


def test_a_second_judge_that_disagrees_is_noted() -> None:
    assert scored("integer", ("204",), r"\boxed{\frac{408}{2}}").facts == {"box": True, "judge": True}
    assert scored("integer", ("204",), r"\boxed{204^\circ}").facts == {"box": True}
    assert scored("integer", ("204",), "204").facts == {"box": False}


@pytest.mark.parametrize("heavy", ["9^{9^{9}}", "2^{1000000}", "1000!", "x" * 300, "1" * 50, r"\sum_{k=1}^n k", "2^3^4^5"])
def test_the_judge_is_not_asked_what_would_keep_it_busy(heavy: str) -> None:
    assert judge.same("7", heavy) is None
    assert scored("math", ("7",), f"\\boxed{{{heavy}}}").facts == {"box": True, "judge": "not asked"}


def test_the_judge_works_on_any_thread() -> None:
    found: list[bool | None] = []
    threads = [Thread(target=lambda: found.append(judge.same(r"\frac{1}{2}", "0.5"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True, True]


@given(st.integers(-10**9, 10**9), st.sampled_from(["{}", "{:,}", "{}.0", "${}$", r"\text{{{}}}", "x = {}", "{}.", " {} "]))
def test_a_whole_number_is_read_however_it_is_set(value: int, form: str) -> None:
    assert answers.integer(form.format(value)) == value
    assert answers.number(f"so it is \\boxed{{{form.format(value)}}}") == Fraction(value)


@given(st.text(alphabet="ab{}\\ 1", max_size=12))
def test_a_box_is_what_its_braces_hold(inside: str) -> None:
    box = answers.last_box(f"\\boxed{{{inside}}}")
    if "{" not in inside and "}" not in inside and not inside.endswith("\\"):
        assert box == inside
    elif box is not None:
        assert f"{{{box}}}" in f"{{{inside}}}"


@given(st.text(max_size=60))
def test_any_text_can_be_scored(text: str) -> None:
    for name in sorted(SCORERS.keys() - {"math"}):
        assert scored(name, ("7",), text + r" \boxed{" + text).score in (0, 1)


@pytest.mark.parametrize("text", ["1e999999999", "9" * 5000, "1/0", ".", "-", "1e-99999"])
def test_numbers_that_are_none_are_not_computed(text: str) -> None:
    assert scored("number", ("7",), text).score == 0


def test_unknown_scorers_and_answers_of_another_kind_are_refused() -> None:
    with pytest.raises(CampaignError, match="no scorer 'nubmer'") as refusal:
        find_scorer("nubmer", "tasks.jsonl, problem 3")
    assert refusal.value.hint == "Did you mean number?"
    with pytest.raises(CampaignError, match="'red' is no integer"):
        check("integer", ("red",), "here")


@pytest.mark.parametrize("gold", NO_NUMBERS)
def test_a_right_answer_is_a_number_as_a_whole(gold: str) -> None:
    with pytest.raises(CampaignError, match="is no number"):
        check("number", ("7", gold), "here")
