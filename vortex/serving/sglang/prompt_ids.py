"""Ids of a prompt that are no tokens of the model: SGLang 0.5.23 passes them on, and its embedding then ends the server."""
from collections.abc import Sequence
from typing import Any

from sglang.srt.plugins.hook_registry import HookRegistry, HookType

VALIDATED = "sglang.srt.managers.tokenizer_manager.TokenizerManager._validate_one_request"


def install_prompt_check() -> None:
    """Once in a process, before SGLang applies its hooks."""
    HookRegistry.register(VALIDATED, _checked, HookType.BEFORE)


def _checked(manager: Any, asked: object, input_ids: Sequence[int] | None) -> None:
    """Raises ValueError, which SGLang answers as a bad request."""
    vocabulary = manager.model_config.vocab_size
    strange = next((token for token in input_ids or () if not 0 <= token < vocabulary), None)
    if strange is not None:
        raise ValueError(f"The prompt holds token {strange}; the model's tokens are 0 to {vocabulary - 1}.")
