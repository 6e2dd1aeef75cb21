"""What a server is to run, as it reaches SGLang's processes: one environment variable that holds JSON, or names its file."""
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph

VARIABLE = "VORTEX_SGLANG"
HINT = f'{VARIABLE} holds JSON, {{"graph": {{...}}, "point": {{...}}}}, or @ and the path of a file that holds it.'


class Settings(BaseModel):
    """A flow as Graph JSON (None: dense) at its operating point; no text of a flow ever travels.

    `folder` is where a running server leaves its control socket, its replies and what it measured when it started.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    graph: str | None = None
    point: OperatingPoint
    folder: str = ""

    @field_validator("graph", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return json.dumps(value) if isinstance(value, Mapping) else value

    def flow(self) -> Graph | None:
        """Raises GraphError."""
        return None if self.graph is None else Graph.from_json(self.graph)

    def put(self, folder: Path) -> dict[str, str]:
        """Writes them down in `folder`; the environment of a process that shall find them."""
        path = folder / "settings.json"
        path.write_text(self.model_copy(update={"folder": str(folder)}).model_dump_json())
        return {VARIABLE: f"@{path}"}


def read_settings(environment: Mapping[str, str] | None = None) -> Settings | None:
    """Of this process; None where no flow is configured. Raises EngineError, PointError, GraphError."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not text.strip():
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"cannot read {text[1:]}, which {VARIABLE} names: {error}", hint=HINT) from error
    return _parsed(text)


def _parsed(text: str) -> Settings:
    try:
        found: Any = json.loads(text)
        return Settings.model_validate(found)
    except json.JSONDecodeError as error:
        raise EngineError(f"{VARIABLE} is not JSON: {error}", hint=HINT) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EngineError(f"{VARIABLE}: {place}: {first['msg']}", hint=HINT) from error
