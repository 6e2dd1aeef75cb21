"""A model that is a tokenizer alone: a small BPE of the tasks' own prose, a chat template, and a context to read."""
import json
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from evaluator.tasks.reader import Reader
from evaluator.tasks.ruler import prose, words

TEMPLATE = ("{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
CONFIG = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32,
          "intermediate_size": 64, "vocab_size": 4096, "max_position_embeddings": 1 << 18, "tie_word_embeddings": True}


def _write(folder: Path, template: str) -> Reader:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=["<|user|>", "<|assistant|>", "<|end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([" ".join(prose.words(Random(1), 20_000)), " ".join(words.singles())], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", **({"chat_template": template} if template else {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return Reader(str(folder), "embedded")


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Of a model with a chat template."""
    return _write(tmp_path_factory.mktemp("chatting"), TEMPLATE)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Of a model without one."""
    return _write(tmp_path_factory.mktemp("plain"), "")


@pytest.fixture(scope="session")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Of a model that thinks unless its template is told not to."""
    quiet = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    return _write(tmp_path_factory.mktemp("thinking"), TEMPLATE + quiet)
