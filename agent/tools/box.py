"""The toolbox: which tools a conversation is offered, and how a call of one becomes a short text, whatever it asked for."""
import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.models.base import Tool, ToolCall, ToolResult
from agent.quoting import fenced
from agent.tools.bench import Bench, ToolError
from vortex.errors import VortexError

MOST_CHARACTERS = 6000                # of a result


class Arguments(BaseModel):
    """What a tool takes: unknown names and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Taken = TypeVar("Taken", bound=Arguments)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A tool. `run` raises VortexError for what cannot be; `most_calls` bounds it in one conversation."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Bench, Any], str]
    most_calls: int = 60

    @property
    def offered(self) -> Tool:
        return Tool(name=self.name, description=self.description, schema=schema_of(self.arguments))


def spec(run: Callable[[Bench, Taken], str], arguments: type[Taken], most_calls: int = 60) -> Spec:
    """The tool that is the function `run`: its name and its docstring are what the model reads."""
    description = " ".join((run.__doc__ or "").split())
    return Spec(name=run.__name__, description=description, arguments=arguments, run=run, most_calls=most_calls)


def schema_of(arguments: type[Arguments]) -> dict[str, Any]:
    """JSON Schema without titles, references put in their place: what every provider takes."""
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    plain = _plain(schema, definitions)
    return {"type": "object", "properties": {}, **plain, "additionalProperties": False}


def _plain(value: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_plain(one, definitions) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _plain(definitions[value["$ref"].rpartition("/")[2]], definitions)
    # A property may itself be called `title`; the keyword's value is a text.
    return {key: _plain(one, definitions) for key, one in value.items()
            if not (key in ("title", "description") and isinstance(one, str) and (key == "title" or "properties" in value))}


@dataclass
class Toolbox:
    """The tools of one conversation. Whatever a call asks for, `use` answers with a text; nothing is raised but our bugs."""

    specs: Sequence[Spec]
    bench: Bench
    most_characters: int = MOST_CHARACTERS
    bounded: bool = True                  # by the most calls of each tool; not where a person's own agent works for days
    used: Counter[str] = field(default_factory=Counter)

    @property
    def offered(self) -> tuple[Tool, ...]:
        return tuple(one.offered for one in self.specs)

    def use(self, call: ToolCall) -> ToolResult:
        """A refusal is a result that failed: what is wrong, and what to write instead. All of it is marked as data."""
        try:
            text, failed = self._run(call), False
        except VortexError as error:
            text, failed = error.report(), True
        known = call.name if call.name in [one.name for one in self.specs] else "tool"
        return ToolResult(id=call.id, text=fenced(text, known, self.most_characters), failed=failed)

    def _run(self, call: ToolCall) -> str:
        found = next((one for one in self.specs if one.name == call.name), None)
        if found is None:
            near = difflib.get_close_matches(call.name[:80], [one.name for one in self.specs], n=1)
            raise ToolError(f"there is no tool {call.name[:80]!r}", hint=(f"Did you mean {near[0]}? " if near else "")
                          + f"Tools: {', '.join(one.name for one in self.specs)}.")
        if call.broken:
            raise ToolError("the arguments are not JSON", hint=f"{found.name} takes an object with: {_names(found)}.")
        self.used[found.name] += 1
        if self.bounded and self.used[found.name] > found.most_calls:
            raise ToolError(f"{found.name} was used {found.most_calls} times, which is all it may be here",
                          hint="Submit what you have.")
        try:
            arguments = found.arguments.model_validate(dict(call.arguments))
        except ValidationError as error:
            told = "\n".join(f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg'].lower()}"
                             for one in error.errors()[:5])
            raise ToolError(told, hint=f"{found.name} takes: {_names(found)}.") from None
        return found.run(self.bench, arguments)


def _names(one: Spec) -> str:
    """`flow, mechanism, [parents]`: those in brackets may be left out."""
    fields = one.arguments.model_fields
    return ", ".join(name if field.is_required() else f"[{name}]" for name, field in fields.items()) or "nothing"
