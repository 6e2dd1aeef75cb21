"""What a checkpoint is before its weights are loaded: where it lies, its shape, its tokenizer, its chat template."""
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from vortex.compiler.shapes import ModelSizes
from vortex.errors import ModelError
from vortex.ir import Geometry
from vortex.serving.hub import hub_answers

Loaded = TypeVar("Loaded")
SHIPPED = ("probe",)
EMBEDDED = ("qwen3", "llama", "qwen2", "mistral")
# What SGLang serves more of and the plug-in takes over: attention by plain softmax, of which some layers may be linear.
SERVED = {"embedded": EMBEDDED,
          "sglang": (*EMBEDDED, "qwen3_moe", "qwen2_moe", "mixtral", "glm4_moe", "qwen3_next", "deepseek_v2", "deepseek_v3",
                     "glm4_moe_lite")}
WINDOWED = ("mistral", "mixtral", "qwen3_moe")           # their window is used wherever one is set
EngineName = Literal["embedded", "sglang"]


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a served model that engines, costs and flows go by."""

    layers: int
    kv_heads: int
    group: int                            # query heads a kv head
    head_dim: int
    vocabulary: int
    max_tokens: int                       # the longest context it was made for
    hidden: int
    intermediate: int
    tied: bool                            # is the output matrix that of the embedding?
    kv_lora_rank: int = 0                 # of latent attention (MLA), where head_dim is that of the latent rows
    qk_rope_head_dim: int = 0

    def geometry(self, block_size: int) -> Geometry:
        if self.kv_lora_rank:
            return Geometry.of_latent(block_size, self.kv_lora_rank, self.qk_rope_head_dim, self.group)
        return Geometry(block_size=block_size, head_dim=self.head_dim, group=self.group)

    def sizes(self, name: str) -> ModelSizes:
        """As rooflines count them."""
        return ModelSizes(name=name, layers=self.layers, hidden=self.hidden, intermediate=self.intermediate,
                          heads=self.kv_heads * self.group, kv_heads=self.kv_heads, head_dim=self.head_dim,
                          vocabulary=self.vocabulary, tied=self.tied)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model that can be served: `path` is a folder or a Hugging Face id."""

    name: str
    path: str
    shape: ModelShape


class ModelTokenizer:
    """Text to ids and back, as the model's own tokenizer does it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, opened by the model's first token where the model wants one and the text does not have it."""
        bos = self._tokenizer.bos_token
        opened = bos is not None and text.startswith(bos)
        ids: list[int] = self._tokenizer(text, add_special_tokens=not opened)["input_ids"]
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    @property
    def has_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def chat(self, messages: Sequence[Mapping[str, str]], thinking: bool | None = None) -> str:
        """The prompt for a conversation ({"role", "content"} each), up to the model's answer. Raises ModelError.

        `thinking` is told to templates that know the two modes; None leaves it to the template.
        """
        if not self.has_template:
            raise ModelError("this model has no chat template", hint="Give it plain text.")
        conversation = [dict(message) for message in messages]
        mode: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        return str(self._tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, **mode))


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers while it is open."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # transformers


def locate(model: str) -> str:
    """A shipped name's folder, a folder as it is, anything else as a Hugging Face id. Raises ModelError."""
    if not model.strip():
        raise ModelError("no model is named", hint=_choices())
    if model in SHIPPED:
        return str(resources.files("vortex").joinpath("models", model))
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{model} holds no config.json", hint="A model folder is one that save_pretrained wrote.")
        return str(path)
    if path.is_absolute() or model.startswith((".", "~")):
        raise ModelError(f"there is no folder {model}", hint=_choices())
    return model


def _choices() -> str:
    return f"A model is a shipped name ({', '.join(SHIPPED)}), a folder, or a Hugging Face id."


def local_first(path: str, load: Callable[..., Loaded]) -> Loaded:
    """What `load` finds on this machine; else, for a Hugging Face id and where the hub can be reached, from there."""
    try:
        return load(local_files_only=True)
    except (OSError, ValueError):
        if Path(path).is_dir() or not hub_answers():
            raise
    return load()


def find_checkpoint(model: str, engine: EngineName = "embedded") -> Checkpoint:
    """Reads a model's config and says whether `engine` serves it. Raises ModelError with what is wrong and what to do."""
    path = locate(model)
    try:
        with quiet():
            config = local_first(path, partial(AutoConfig.from_pretrained, path))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot read the config of {model!r}: {first_line(error)}",
                         hint=f"{_choices()} Offline, download it first: hf download {model}") from error
    return Checkpoint(name=model, path=path, shape=_shape(model, config, engine))


def _shape(model: str, config: PretrainedConfig, engine: EngineName) -> ModelShape:
    kind = config.model_type
    if kind not in SERVED[engine]:
        raise ModelError(f"{model!r} is of type {kind!r}, which is not served", hint=f"Served: {', '.join(SERVED[engine])}.")
    if slides(config):
        raise ModelError(f"{model!r} attends through a sliding window, which is not served",
                         hint="Choose a model whose layers all attend in full.")
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    rank = int(getattr(config, "kv_lora_rank", None) or 0)
    rope = int(config.qk_rope_head_dim) if rank else 0
    kv_heads = 1 if rank else kv_heads
    return ModelShape(
        layers=config.num_hidden_layers, kv_heads=kv_heads, group=heads // kv_heads,
        head_dim=rank + rope or getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size, max_tokens=config.max_position_embeddings, hidden=config.hidden_size,
        intermediate=config.intermediate_size, tied=bool(config.tie_word_embeddings), kv_lora_rank=rank, qk_rope_head_dim=rope,
    )


def slides(config: PretrainedConfig) -> bool:
    """Does some layer attend through a window? Linear layers do not; some configs carry a window that is not used."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = config.model_type in WINDOWED and bool(getattr(config, "sliding_window", None))
    return windowed or not kinds <= {"full_attention", "linear_attention"}


def load_tokenizer(checkpoint: Checkpoint) -> ModelTokenizer:
    """Raises ModelError when the model comes without one."""
    try:
        with quiet():
            return ModelTokenizer(local_first(checkpoint.path, partial(AutoTokenizer.from_pretrained, checkpoint.path)))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot load the tokenizer of {checkpoint.name!r}: {first_line(error)}",
                         hint="A model folder holds tokenizer.json beside config.json.") from error


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
