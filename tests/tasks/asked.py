"""Models that are a tokenizer and a chat template alone."""
import json
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from evaluator.tasks.reader import Reader

TURNS = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}[assistant] "
EMPTY = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
TEMPLATES = {
    "plain": "", "one-mode": TURNS, "two-modes": TURNS + EMPTY, "opens": TURNS + "<think>\n",
    "opens-or-empty": TURNS + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
                              "{% else %}<think>\n{% endif %}",
    "deaf": TURNS + "{% if enable_thinking is defined and not enable_thinking %}/no_think {% endif %}",
    "contrary": TURNS + EMPTY.replace("not ", ""),
}
CONFIG = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32,
          "intermediate_size": 64, "vocab_size": 8, "max_position_embeddings": 4096, "tie_word_embeddings": True}


def model(folder: Path, template: str, thinking: bool | None = None) -> Reader:
    """The reader of a model in `folder` whose template is that of TEMPLATES."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(WordLevel({"?": 0, "<think>": 1, "</think>": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]  # tokenizers
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told | ({"chat_template": TEMPLATES[template]} if template else {})))
    return Reader(str(folder), "embedded", thinking)
