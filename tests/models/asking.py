"""Short ways to ask a model, shared by the tests."""
from agent.models.base import Ask, Message, Model, Part, Text, Tool
from agent.models.registry import make_model
from tests.models.loopback import Loopback

KEY = "sk-never-to-be-seen-0123456789"
NAMES = ("claude-opus-4-6", "gpt-5.5", "openai:local")
CHECK = Tool("check", "Checks a flow.", {"type": "object", "properties": {"source": {"type": "string"}}, "required": ["source"]})


def connect(name: str, loopback: Loopback, max_retries: int = 4) -> Model:
    return make_model(name, loopback.url if name.startswith("claude") else f"{loopback.url}/v1", max_retries)


def ask(*parts: Part | str, **changes: object) -> Ask:
    """One question of a user."""
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    values: dict[str, object] = {"system": (Text("You design flows.", cached=True),), "messages": (Message("user", said),)}
    return Ask(**{**values, **changes})  # type: ignore[arg-type]
