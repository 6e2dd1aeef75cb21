"""Hostile texts: none runs foreign code, ends the process, changes what flows share, or takes over a second."""
from collections.abc import Iterator

import pytest

from tests.language.hostile.bombs import bombs
from tests.language.hostile.corpus import Attempt, attempts
from tests.language.hostile.judge import Judge, Outcome
from tests.language.hostile.mutate import Mutator

RANDOM_TEXTS = 1500
LONGEST_S = 1.0
ATTEMPTS = attempts()


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


def harmless(outcome: Outcome) -> bool:
    return not outcome.bad and outcome.seconds < LONGEST_S


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.title)
def test_nothing_comes_of_an_attempt(judge: Judge, attempt: Attempt) -> None:
    outcome = judge.judge(attempt.text)
    assert harmless(outcome), outcome
    assert outcome.line or outcome.kind == "legal" or "registered" in outcome.message, outcome
    if attempt.refused_at:
        assert (outcome.kind, outcome.line) == ("refused", attempt.refused_at), outcome
        assert outcome.message


def test_nothing_comes_of_bombs(judge: Judge) -> None:
    wrong = {name: outcome for name, text in bombs() if not harmless(outcome := judge.judge(text))}
    assert not wrong


def test_nothing_comes_of_random_texts(judge: Judge) -> None:
    mutator = Mutator(seed=3)
    outcomes = [(text := mutator.text(), judge.judge(text)) for _ in range(RANDOM_TEXTS)]
    wrong = [(text, outcome) for text, outcome in outcomes if not harmless(outcome)]
    assert not wrong, f"{wrong[0][0]}\n{wrong[0][1]}"
    kinds = {outcome.kind for _, outcome in outcomes}
    assert kinds == {"legal", "refused"}
    assert len({outcome.code for _, outcome in outcomes}) >= 8


@pytest.mark.parametrize(("event", "code"), [
    ("open", "open('/etc/hostname')"), ("import", "__import__('this_is_not_there')"), ("exec", "exec('1')"),
    ("os.system", "__import__('os').system('true')"), ("socket", "__import__('socket').socket()"),
    ("changed", "setattr(vFlow, 'flow_text', 5)"), ("hang", "[1 for _ in iter(int, 1)]"),
    ("crash", "__import__('os').abort()"), ("leak", "1 / 0"),
])
def test_the_judge_sees_what_must_not_happen(event: str, code: str) -> None:
    """Were a text to run this, the judge would say so."""
    with Judge(give_up_s=3.0, instead=code) as judge:
        outcome = judge.judge("anything")
    assert outcome.bad
    assert event == outcome.kind or event in outcome.message
