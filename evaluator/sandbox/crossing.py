"""What may cross the wall, both ways: JSON of bounded size. No object that comes out of a child is unpickled."""
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vortex import errors
from vortex.errors import ChildCrash, ChildMemory, CompileError, Fix, SandboxUnavailable, VortexError, Where

MOST_BYTES = 8 << 20                # of an answer: read as JSON it takes some twenty times as much here
MOST_TEXT = 20_000                  # characters of each part of a refusal
MOST_TOLD = 500


def address(function: Callable[..., Any]) -> str:
    """The name by which the child finds `function`."""
    return f"{function.__module__}:{function.__qualname__}"


def request(function: Callable[..., Any], args: Sequence[Any], wall_s: float, memory_bytes: int) -> bytes:
    """Raises TypeError for an argument that is not JSON."""
    asked = {"function": address(function), "args": list(args), "wall_s": wall_s, "memory_bytes": memory_bytes}
    return json.dumps(asked, allow_nan=False).encode()


def computed(function: Callable[..., Any], args: Sequence[Any], memory_bytes: int) -> bytes:
    """In the child: the answer, whatever happens."""
    name = function.__name__
    try:
        return json.dumps({"value": function(*args)}).encode()
    except VortexError as error:
        return json.dumps({"refused": refusal_to_json(error)}).encode()
    except MemoryError:
        return json.dumps({"refused": refusal_to_json(ChildMemory(f"{name} used more than {memory_bytes:,} bytes"))}).encode()
    # The fence of the sandbox: whatever else it raised is a named failure of the child, not a traceback of ours.
    except Exception as error:
        crash = ChildCrash(f"{name} raised {type(error).__name__}: {str(error)[:MOST_TOLD]}")
        return json.dumps({"refused": refusal_to_json(crash)}).encode()


def opened(answer: bytes, name: str) -> Any:
    """The value in an answer. Raises the VortexError that stands there instead, and ChildCrash for what is no answer."""
    try:
        body = json.loads(answer)
        if isinstance(body, dict) and "value" in body:
            return body["value"]
        refusal = refusal_from(body["refused"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChildCrash(f"{name} answered what is no answer") from error
    raise refusal


def refusal_to_json(error: VortexError) -> Mapping[str, Any]:
    """Everything that a refusal says, its whole place included."""
    where, fix = error.where, error.fix
    return {"code": error.code, "message": error.message, "hint": error.hint, "op": getattr(error, "op", ""),
            "where": [where.path, where.line, where.text, where.expression, where.column],
            "fix": None if fix is None else [fix.old, fix.new, fix.line]}


def refusal_from(body: Mapping[str, Any]) -> VortexError:
    """Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    kind = getattr(errors, str(body["code"]), None)
    # That a machine has no sandbox is not a child's to say: it would end the run, and advise people to do without one.
    if not (isinstance(kind, type) and issubclass(kind, VortexError)) or kind is SandboxUnavailable:
        raise ValueError(f"{body['code']} is no refusal of a child")
    path, line, text, expression, column = body["where"]
    fix = None if body["fix"] is None else Fix(_text(body["fix"][0]), _text(body["fix"][1]), int(body["fix"][2]))
    more = {"op": _text(body["op"])} if issubclass(kind, CompileError) else {}
    return kind(_text(body["message"]), hint=_text(body["hint"]), fix=fix, **more,
                where=Where(_text(path), int(line), _text(text), _text(expression), int(column)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text stands")
    return value[:MOST_TEXT]
