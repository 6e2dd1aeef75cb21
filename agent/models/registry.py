"""Language models by the names that a campaign file uses."""
import importlib
import re

from agent.models import scripted
from agent.models.base import Model
from vortex.errors import MissingExtra, UnknownLanguageModel

KINDS = {r"claude-.+": "agent.models.claude", r"gpt-.+|chatgpt-.+|o\d.*": "agent.models.gpt", r"openai:.+": "agent.models.chat"}
RETRIES = 4                               # of the SDK, within one call: it waits as long as Retry-After says


def make_model(name: str, base_url: str | None = None, max_retries: int = RETRIES) -> Model:
    """The model of a name: claude-... of Anthropic, gpt-... and o3 of OpenAI, openai:NAME behind an endpoint that is compatible
    (`base_url`, or OPENAI_BASE_URL), scripted:PATH from a file.

    Raises UnknownLanguageModel, MissingKey, MissingExtra. Nothing is sent.
    """
    if name.startswith("scripted:"):
        return scripted.connect(name)
    home = next((module for pattern, module in KINDS.items() if re.fullmatch(pattern, name)), None)
    if home is None:
        raise UnknownLanguageModel(f"no provider is known for the model {name!r}",
                                   hint="claude-..., gpt-..., openai:NAME (with a base_url), or scripted:PATH")
    # The SDKs take a second to import, and are an extra.
    try:
        connect = importlib.import_module(home).connect
    except ModuleNotFoundError as error:
        raise MissingExtra(f"the model {name!r} needs the package {error.name}",
                           hint="pip install 'vortex-platform[agents]'") from error
    model: Model = connect(name, base_url, max_retries)
    return model
