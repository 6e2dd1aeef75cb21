"""What all providers share: keys, the errors of their SDKs in our words, and how often a call was told to come back later."""
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import httpx2

from agent.models import keys
from agent.models.base import ToolCall
from vortex.errors import BrokenAnswer, CallError, KeyRefused, MissingKey, Unavailable, UnknownLanguageModel

TIMEOUT = httpx2.Timeout(180.0, connect=10.0)          # between two pieces of an answer, not for the whole
LIMIT_S = 1800.0
OVERLOADED = frozenset({429, 503, 529})
LATER = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error", "server_error", "rate_limit_exceeded",
                   "overloaded", "server_is_overloaded", "slow_down"})
UNPAID = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached"})
MALFORMED = (ValueError, TypeError, LookupError, AttributeError)

ADDRESS = "such as https://api.openai.com/v1, or https://api.anthropic.com without /v1"

_heard = threading.local()


@dataclass(frozen=True)
class Provider:
    """A provider as messages name it, the variable that holds its key, the key itself (never shown), and its SDK."""

    title: str
    variable: str
    sdk: ModuleType = field(repr=False)
    key: str = field(repr=False)


def provider(title: str, variable: str, sdk: ModuleType, base_url: str | None) -> Provider:
    """Raises MissingKey when the environment holds no key, UnknownLanguageModel for an address that is none."""
    if base_url is not None:
        url = address(base_url)
        title = f"the endpoint {url.host}{'' if url.port is None else f':{url.port}'}"
    key = keys.key(variable)
    if not key:
        raise MissingKey(f"{variable} is not set: {title} cannot be asked",
                         hint=f"export {variable}=...; keys are read from the environment only")
    return Provider(title, variable, sdk, key)


def address(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise UnknownLanguageModel(f"the base URL {base_url!r} is none: {error}", hint=ADDRESS) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UnknownLanguageModel(f"the base URL {base_url!r} does not begin with http:// or https://", hint=ADDRESS)
    return url


def hear(response: httpx2.Response) -> None:
    """An event hook of the HTTP client: notes that the provider is overloaded."""
    if response.status_code in OVERLOADED:
        _heard.overloads = getattr(_heard, "overloads", 0) + 1


def overloads() -> int:
    """How often this thread's calls were told to come back later since it last asked."""
    count = getattr(_heard, "overloads", 0)
    _heard.overloads = 0
    return count


def timely(who: Provider, events: Iterable[Any], limit_s: float) -> Iterator[Any]:
    """The events of a stream. What breaks off once it has begun, or lasts longer than `limit_s`, may have been charged for:
    BrokenAnswer."""
    end = time.monotonic() + limit_s
    try:
        for event in events:
            if time.monotonic() > end:
                raise BrokenAnswer(f"the answer of {who.title} was not complete after {limit_s:.0f} s")
            yield event
    except (who.sdk.APIConnectionError, httpx2.HTTPError) as error:
        raise BrokenAnswer(f"{who.title} broke off while it answered: {type(error).__name__}") from error


@contextmanager
def refusals(who: Provider, model: str) -> Iterator[None]:
    """Raises what goes wrong inside as one of CallError, in words that carry no key.

    Unavailable: nothing was answered. BrokenAnswer: an answer had begun, or what came is none.
    """
    try:
        yield
    except CallError:
        raise
    except who.sdk.APIStatusError as error:
        # What the provider said may hold the key: no traceback shows it.
        raise status_refusal(who, model, error) from None
    except who.sdk.APIConnectionError as error:
        raise Unavailable(f"{who.title} cannot be reached: {words(who, error)}",
                          hint="is the network up, and the base URL right?") from None
    except who.sdk.APIError as error:
        raise stream_refusal(who, str(error.type or error.code or ""), words(who, error)) from None
    except httpx2.HTTPError as error:
        raise Unavailable(f"{who.title} cannot be reached: {type(error).__name__}") from error
    except MALFORMED as error:
        raise BrokenAnswer(f"{who.title} sent what its protocol does not know: {words(who, error)}") from error


def words(who: Provider, error: Exception) -> str:
    """What an error says, on one line, without the key."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    said = inner.get("message") if isinstance(inner, Mapping) else None
    text = " ".join(str(said or error).split()) or type(error).__name__
    return text.replace(who.key, "***")[:500]


def status_refusal(who: Provider, model: str, error: Any) -> CallError:
    """The refusal that an HTTP status, or the kind of an error within a stream, stands for."""
    body = error.body if isinstance(error.body, Mapping) else {}
    inner = body.get("error", body)
    kinds = {str(inner.get(name)) for name in ("type", "code")} if isinstance(inner, Mapping) else set()
    status, said = error.status_code, words(who, error)
    if status == 402 or kinds & UNPAID:
        return KeyRefused(f"the account behind {who.variable} has no credit left: {said}")
    if status in (401, 403):
        return KeyRefused(f"{who.title} does not accept the key of {who.variable} ({status})",
                          hint="is the key whole, active, and allowed to use this model?")
    if status == 404:
        return UnknownLanguageModel(f"{who.title} does not know the model {model!r}: {said}",
                                    hint="check the name, and the base URL if one is set")
    if status in OVERLOADED or status >= 500 or status in (408, 409):
        return Unavailable(f"{who.title} is not available ({status}) through all retries: {said}")
    if status < 400:
        return stream_refusal(who, " ".join(sorted(kinds - {"None"})), said)
    return CallError(f"{who.title} refuses the request ({status}): {said}")


def stream_refusal(who: Provider, kind: str, said: str) -> CallError:
    """The refusal that an error event within a stream stands for."""
    if kind in UNPAID:
        return KeyRefused(f"the account behind {who.variable} has no credit left: {said}")
    return BrokenAnswer(f"{who.title} ended its answer with an error ({kind or 'of no kind'}): {said}")


def batch_refusal(who: Provider, kind: str, said: str) -> CallError:
    """The refusal that a failed call of a batch stands for; nothing was paid for it."""
    if kind in LATER:
        return Unavailable(f"{who.title} could not answer a call of the batch ({kind}): {said}")
    return CallError(f"{who.title} refuses a call of the batch ({kind}): {said}")


def effort(thinking_tokens: int) -> str:
    """The grade of effort for models that take no number of tokens to think."""
    return "low" if thinking_tokens <= 2048 else "medium" if thinking_tokens <= 8192 else "high"


def arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call as they are said back: those that could not be read under `unreadable`."""
    return {"unreadable": call.broken} if call.broken else dict(call.arguments)


def read_call(name: str, call_id: str, text: str) -> ToolCall:
    """A call whose arguments came as text; what is not a JSON object is kept as it came."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return ToolCall(call_id, name, broken=text)
    return ToolCall(call_id, name, values) if isinstance(values, dict) else ToolCall(call_id, name, broken=text)
