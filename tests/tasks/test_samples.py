"""Generators: what holds for every sample, and samples that must never change."""
import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vortex
from evaluator.tasks.registry import PRESETS, REASONING_PRESETS, RETRIEVAL_PRESETS, TASKS, Preset, preset
from evaluator.tasks.task import Sample
from evaluator.tasks.vocabulary import CODES, ID, IS_NUMBER, SIZE
from vortex.errors import CampaignError

TOKENIZER = Path(vortex.__file__).parent / "models" / "probe" / "tokenizer.json"
SEEDS = st.integers(0, 2**32)
SHORT = sorted(name for name, preset in PRESETS.items() if preset.settings["length"] <= 1056)

# preset, answer of sample 1 of seed 7 (chain: its end), hash of its prompt, and of the first text drawn from a running
# generator of seed 77: the latter was computed with the script that trained the shipped probe
GOLDEN = [
    ("single-1k", "foban 17 ;", "e73505f71b3bdece", "156de6efd75af480"),
    ("multikey-1k-full", "dapol 75 ;", "a8bc96e703cf9050", "fc56f00a4f3c867d"),
    ("multiquery-1k", "savo 21 , luban 3 , ruban 68 , gasen 53 ;", "c5d069617a32e8af", "2a2ef7256a70e47e"),
    ("multivalue-1k", "jozel 15 and jozel 50 and jozel 40 and jozel 28 ;", "c38707534d9ac7e4", "55c29c3d34bf4995"),
    ("vt-1k-4hop", "pezel rufin begus ruvo nowyn 26 ;", "a1a31140dd517fed", "c308168bc57e47e2"),
    ("chain-30", "answer c38 2 ;", "231199eb5826d799", "41547f83391c9eba"),
    ("fwe-1k", "xom zix vuff ;", "181a03f4fe6baf99", "32fd9ba35f22d136"),
]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(("name", "answer", "prompt", "_text"), GOLDEN)
def test_samples_never_change(name: str, answer: str, prompt: str, _text: str) -> None:
    sample = preset(name).samples(7, 2)[1]
    assert sample.id == f"{name}/7/1"
    assert sample.answer.endswith(answer)
    assert _hash(sample.prompt) == prompt


@pytest.mark.parametrize(("name", "_answer", "_prompt", "text"), GOLDEN)
def test_texts_are_those_the_shipped_probe_was_measured_on(name: str, _answer: str, _prompt: str, text: str) -> None:
    chosen = preset(name)
    sample = chosen.task.sample("first", np.random.default_rng(77), **chosen.settings)
    assert _hash(f"{sample.prompt} {sample.answer}") == text


def _facts(sample: Sample) -> list[tuple[str, str]]:
    words = sample.prompt.split()
    return [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == "note"]


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(SHORT), seed=SEEDS)
def test_every_sample_has_its_length_and_known_words_alone(name: str, seed: int) -> None:
    sample = preset(name).samples(seed, 1)[0]
    words = [*sample.prompt.split(), *sample.answer.split()]
    assert len(words) + 1 == preset(name).settings["length"]
    assert sample.max_new_tokens == len(sample.answer.split())
    assert words[0] == "<bos>" and sample.prompt.endswith(" :") and sample.answer.endswith(" ;")
    assert all(word in ID for word in words)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(SHORT), seed=SEEDS, more=st.integers(1, 4))
def test_a_sample_depends_on_seed_and_index_alone(name: str, seed: int, more: int) -> None:
    few, many = preset(name).samples(seed, 2), preset(name).samples(seed, 2 + more)
    assert few == many[:2]
    assert len({sample.prompt for sample in many}) == len(many)
    assert len({sample.id for sample in many}) == len(many)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([n for n in SHORT if n.startswith("multi") or n.startswith("single")]), seed=SEEDS)
def test_every_value_asked_stands_beside_its_key_in_the_prompt(name: str, seed: int) -> None:
    sample = preset(name).samples(seed, 1)[0]
    facts, answer = _facts(sample), sample.answer.split()
    asked = [(answer[i - 1], word) for i, word in enumerate(answer) if word in IS_NUMBER]
    assert asked and set(asked) <= set(facts)
    copies = 4 if "multivalue" in name else 1
    keys = [key for key, _ in facts]
    assert all(keys.count(key) == copies for key in keys)
    assert len(set(facts)) == len(facts)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, hops=st.integers(1, 8), keys=st.integers(9, 60))
def test_a_chain_of_names_can_be_followed_to_its_number(seed: int, hops: int, keys: int) -> None:
    sample = TASKS["tracking"].samples(seed, 1, length=320, keys=keys, hops=hops)[0]
    facts, answer = dict(_facts(sample)), sample.answer.split()[:-1]
    assert len(answer) == hops + 2
    assert all(facts[a] == b for a, b in pairwise(answer))
    assert answer[-1] in IS_NUMBER


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, steps=st.integers(1, 60))
def test_a_derivation_follows_from_its_program(seed: int, steps: int) -> None:
    sample = TASKS["chain"].samples(seed, 1, length=1056, steps=steps)[0]
    words, values = sample.prompt.split(), {name: int(value) for name, value in _facts(sample)}
    program = {words[i + 1]: words[i + 2:i + 5] for i, word in enumerate(words) if word == "set"}
    *lines, end = [line.split() for line in sample.answer[:-2].split(" ; ")]
    assert len(lines) == steps
    for left, first, a, right, second, b, result, value in lines:
        assert program[left] == [first, right, second]
        assert (values[first], values[second]) == (int(a), int(b))
        values[result] = int(value)
        assert values[result] == (int(a) + int(b)) % 10
    assert end[1] == "answer" and int(end[3]) == values[end[2]] and program[end[0]][:2] == end[1:3]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_the_most_frequent_coded_words_are_the_answer(seed: int) -> None:
    sample = preset("fwe-1k").samples(seed, 1)[0]
    words, top = sample.prompt.split(), sample.answer.split()[:3]
    codes = {word for word in words if word in CODES}
    ranked = sorted(codes, key=lambda word: -words.count(word))
    assert ranked[:3] == top
    assert len({words.count(word) for word in ranked[:4]}) == 4


def test_the_vocabulary_is_that_of_the_shipped_tokenizer() -> None:
    shipped = json.loads(TOKENIZER.read_text())["model"]["vocab"]
    assert {word: token for word, token in shipped.items() if not word.startswith("<unused")} == ID
    assert len(shipped) == SIZE


BAD_SETTINGS = [
    ("multikey", {"keys": 8}, "length"),
    ("multikey", {"length": 512, "key": 8}, "keys"),
    ("multikey", {"length": 512, "keys": 3}, "4 to 256"),
    ("multikey", {"length": 512, "keys": 257}, "4 to 256"),
    ("multiquery", {"length": 512, "keys": 4, "queries": 5}, "at least queries"),
    ("tracking", {"length": 512, "keys": 4, "hops": 4}, "above hops"),
    ("chain", {"length": 576, "steps": 33}, "17 words"),
    ("multikey", {"length": 8}, "64"),
    ("chain", {"length": 512, "steps": 61}, "1 to 60"),
    ("single", {"length": 512, "hops": 4}, "keys"),
]


@pytest.mark.parametrize(("task", "chosen", "hint"), BAD_SETTINGS)
def test_wrong_settings_are_refused_with_what_is_allowed(task: str, chosen: dict[str, int], hint: str) -> None:
    with pytest.raises(CampaignError) as refusal:
        TASKS[task].samples(1, 1, **chosen)
    assert hint in refusal.value.hint


def test_facts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CampaignError, match="words more than the text has"):
        TASKS["multiquery"].samples(1, 1, length=64, queries=8, keys=8)


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CampaignError) as refusal:
        preset("multikey-1k-ful")
    assert "multikey-1k-full" in refusal.value.hint


def test_shipped_campaigns_use_presets_that_exist() -> None:
    chosen: list[Preset] = [preset(name) for name in (*RETRIEVAL_PRESETS, *REASONING_PRESETS)]
    assert {p.task.name for p in chosen} == {"multikey", "multiquery", "tracking", "chain"}
