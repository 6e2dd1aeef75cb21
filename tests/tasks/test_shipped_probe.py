"""The shipped checkpoint: transformers loads it, and read densely it answers right."""
from pathlib import Path

import pytest

import vortex
from evaluator.tasks.registry import preset

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from evaluator.tasks.probe_model import ProbeModel  # noqa: E402
from evaluator.tasks.vocabulary import ID, WORDS  # noqa: E402

SHIPPED = Path(vortex.__file__).parent / "models" / "probe"


@pytest.fixture(scope="module")
def model() -> "transformers.PreTrainedModel":
    return transformers.AutoModelForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> "transformers.PreTrainedTokenizerBase":
    return transformers.AutoTokenizer.from_pretrained(SHIPPED)


@pytest.mark.parametrize("name", ["single-1k", "multikey-512-full", "multikey-1k-full", "multiquery-1k", "vt-1k-4hop"])
def test_read_densely_it_answers_right(name: str, model: "transformers.PreTrainedModel",
                                       tokenizer: "transformers.PreTrainedTokenizerBase") -> None:
    for sample in preset(name).samples(5, 3):
        prompt = torch.tensor([tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]])
        said = model.generate(prompt, max_new_tokens=sample.max_new_tokens, do_sample=False)[0, prompt.shape[1]:]
        assert preset(name).grade(sample, tokenizer.decode(said)).exact == 1


def test_it_works_off_a_derivation_of_fifteen_lines(model: "transformers.PreTrainedModel",
                                                    tokenizer: "transformers.PreTrainedTokenizerBase") -> None:
    sample = preset("chain-15").samples(5, 1)[0]
    tokens = tokenizer(f"{sample.prompt} {sample.answer}", add_special_tokens=False)["input_ids"]
    asked = len(sample.prompt.split())
    with torch.no_grad():
        guesses = model(torch.tensor([tokens])).logits[0].argmax(-1)[asked - 1:-1]
    assert preset("chain-15").grade(sample, tokenizer.decode(guesses)).score == 1


def test_every_word_is_one_token_with_its_id(tokenizer: "transformers.PreTrainedTokenizerBase") -> None:
    assert tokenizer(" ".join(WORDS), add_special_tokens=False)["input_ids"] == list(ID.values())


def test_the_training_model_and_transformers_give_the_same_logits(model: "transformers.PreTrainedModel") -> None:
    own = ProbeModel()
    own.load_state_dict(load_file(SHIPPED / "model.safetensors"))
    words = preset("multiquery-1k").samples(5, 1)[0].prompt.split()[:200]
    tokens = torch.tensor([[ID[word] for word in words]])
    with torch.no_grad():
        torch.testing.assert_close(own.lm_head(own(tokens)), model(tokens).logits, atol=1e-4, rtol=1e-4)


def test_the_shipped_folder_is_small_enough_for_git() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 12e6
