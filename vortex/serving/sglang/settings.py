"""What a server is to run, as it reaches SGLang's processes: one environment variable that holds it, or names its file.

In the process that is started a flow may be given by name or file, or in the upstream's form (given.py). It is read there and
goes on as Graph JSON: in the processes that serve, text of a flow is never read.
"""
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.sglang.given import FORMS, entries

VARIABLE = "VORTEX_SGLANG"
FILE = "settings.json"                    # in the folder of a run
HINT = f"{VARIABLE} holds {FORMS}, or @ and the path of a file that holds one of these."


class Settings(BaseModel):
    """A flow as Graph JSON, or by name or file in `named` (neither: dense), at its operating point.

    `module` is the name that a file registers the flow under, where it has several. `folder` is where a running server leaves
    its control socket, its replies and what it measured when it started. `reserve` is the memory kept for the summaries of
    flows that are swapped in later, as a share of that of keys and values; the flow at hand has what it needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    graph: str | None = None
    named: str | None = None
    module: str | None = None
    point: OperatingPoint = OperatingPoint(model="", engine="sglang")
    folder: str = ""
    reserve: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

    @field_validator("graph", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return json.dumps(value) if isinstance(value, Mapping) else value

    @property
    def resolved(self) -> bool:
        return self.named is None

    def flow(self) -> Graph | None:
        """Raises GraphError; EngineError where a flow is still a name."""
        if self.named is not None:
            raise EngineError(f"the flow {self.named!r} was not read before SGLang's processes began",
                              hint="Start SGLang with --attention-backend vortex, or put the flow's Graph JSON there.")
        return None if self.graph is None else Graph.from_json(self.graph)

    def put(self, folder: Path) -> dict[str, str]:
        """Writes them down in `folder`; the environment of a process that shall find them."""
        path = folder / FILE
        path.write_text(self.model_copy(update={"folder": str(folder)}).model_dump_json())
        return {VARIABLE: f"@{path}"}


def read_settings(environment: Mapping[str, str] | None = None) -> Settings | None:
    """Of this process; None where no flow is configured. Raises EngineError, PointError, FlowNotFound."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"cannot read {text[1:]}, which {VARIABLE} names: {error}", hint=HINT) from error
    if not text:
        return None
    if not text.startswith(("{", "[", '"')):
        return settings_of({"flow": text})
    try:
        body: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise EngineError(f"{VARIABLE} is not JSON: {error}", hint=HINT) from error
    if not isinstance(body, Mapping):
        raise EngineError(f"{VARIABLE} holds no JSON object", hint=HINT)
    return settings_of(body)


def settings_of(body: Mapping[str, Any]) -> Settings | None:
    """Of any form that is taken; None for the upstream's form with sparsity switched off.

    Raises EngineError, PointError, FlowNotFound.
    """
    told = entries(body)
    if told is None:
        return None
    try:
        return Settings.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EngineError(f"{VARIABLE}: {place}: {first['msg']}", hint=HINT) from error
