"""The prompt as the model's chat template writes it, with the thinking mode that was asked for, and proof that it took."""
import re
from dataclasses import dataclass

from evaluator.tasks.reader import Reader
from vortex.errors import CampaignError

_EMPTY_THINKING = re.compile(r"<think>\s*</think>\s*$")
_OPEN_THINKING = re.compile(r"<think>\s*$")
_TAIL = 80                            # characters of a prompt that a refusal shows


@dataclass(frozen=True)
class Manner:
    """How a model is asked: through its template or with the text as it is; None: it has no thinking mode to choose."""

    template: bool
    thinking: bool | None


def manner(reader: Reader) -> Manner:
    """Raises CampaignError where the mode is left open, or asked of a model that has none; and ModelError."""
    if not reader.tokenizer.has_template:
        if reader.thinking is not None:
            raise CampaignError(f"{reader.model} has no chat template, and so no thinking mode", hint="Leave `thinking` out.")
        return Manner(template=False, thinking=None)
    with_, without = (_chat(reader, "1 + 1?", thinking) for thinking in (True, False))
    if with_ == without:
        if reader.thinking is not None:
            raise CampaignError(f"the chat template of {reader.model} does not know thinking modes", hint="Leave `thinking` out.")
        return Manner(template=True, thinking=None)
    if reader.thinking is None:
        raise CampaignError(f"{reader.model} can think before it answers, or not, and the stage does not say which",
                            hint="Set `thinking = true` or `thinking = false` in the stage, or give --thinking or --no-thinking.")
    return Manner(template=True, thinking=reader.thinking)


def rendered(reader: Reader, how: Manner, text: str) -> str:
    """The whole prompt. Raises CampaignError where the template did not do what the mode asks of it."""
    if not how.template:
        return text
    prompt = _chat(reader, text, how.thinking)
    empty = _EMPTY_THINKING.search(prompt) is not None
    if how.thinking is not None and empty is how.thinking:
        wanted = f"with{'out' if how.thinking else ''} an empty block of thinking"
        raise CampaignError(f"thinking = {str(how.thinking).lower()} asks for a prompt that ends {wanted}; the chat template "
                            f"of {reader.model} writes ...{prompt[-_TAIL:]!r}",
                            hint="Use a checkpoint whose template keeps the mode.")
    return prompt


def thinks(how: Manner, prompt: str) -> bool | None:
    """Is what follows `prompt` thinking until its end is marked? Some templates open it for every model of theirs."""
    return True if _OPEN_THINKING.search(prompt) else how.thinking


def _chat(reader: Reader, text: str, thinking: bool | None) -> str:
    return reader.tokenizer.chat([{"role": "user", "content": text}], thinking=thinking)
