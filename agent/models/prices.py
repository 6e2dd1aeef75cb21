"""What a call costs: dated prices from a file of the package, and from one of the user's own."""
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.models.base import Usage
from vortex.errors import Unpriced, Where

VARIABLE = "VORTEX_PRICES"
PER = 1_000_000


class Rates(BaseModel):
    model_config = ConfigDict(extra="forbid")
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)


class Entry(Rates):
    batch: float = Field(default=1.0, ge=0)
    above: int = Field(default=0, ge=0)
    long: Rates | None = None


class PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    date: str = ""
    sources: list[str] = Field(default_factory=list)
    models: dict[str, Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens. Prompts of more than `above` tokens (0: none) pay `long`; a batch pays its share of all."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    batch: float = 1.0
    above: int = 0
    long: "Price | None" = None


def price(name: str) -> Price:
    """The price of a model; scripted ones cost nothing. A file may leave out the date that ends a name. Raises Unpriced."""
    if name.startswith("scripted:"):
        return Price(0.0, 0.0, 0.0, 0.0)
    table = prices()
    if name in table:
        return table[name]
    base = undated(name)
    if base in table:
        return table[base]
    raise Unpriced(f"the model {name!r} has no price, and no call is made that cannot be counted",
                   hint=f'name a file in {VARIABLE} that holds: [models."{name}"] input = ... output = ... '
                        "(dollars per million tokens; 0 for a model of your own)")


def cost(usage: Usage, price: Price, batch: bool = False) -> float:
    """Dollars of a call."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    rate = price.long if price.long is not None and prompt > price.above else price
    dollars = (usage.input * rate.input + usage.output * rate.output + usage.cache_read * rate.cache_read
               + usage.cache_write * rate.cache_write) / PER
    return dollars * price.batch if batch else dollars


def prices() -> Mapping[str, Price]:
    """All prices by name: those of the package, and over them those of the file that VORTEX_PRICES names."""
    shipped = files("agent.models").joinpath("prices.toml")
    table = parse(shipped.read_text(encoding="utf-8"), str(shipped))
    own = os.environ.get(VARIABLE)
    if own:
        try:
            text = Path(own).read_text(encoding="utf-8")
        except OSError as error:
            raise Unpriced(f"{VARIABLE} names a file that cannot be read: {error.strerror}", where=Where(own)) from error
        table = {**table, **parse(text, own)}
    return table


def parse(text: str, path: str) -> dict[str, Price]:
    try:
        body = PriceFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Unpriced(f"the price file is not TOML: {error}", where=Where(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise Unpriced(f"the price file says what no price is: {at}: {first['msg']}", where=Where(path),
                       hint="[models.NAME] has input, output, cache_read, cache_write, batch, above, long") from error
    return {name: entry_price(entry) for name, entry in body.models.items()}


def entry_price(entry: Entry) -> Price:
    rest: dict[str, Any] = {"batch": entry.batch, "above": entry.above, "long": rated(entry.long) if entry.long else None}
    return rated(entry, **rest)


def rated(rates: Rates, **rest: Any) -> Price:
    """Where the file names none, tokens of the cache cost as much as others."""
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    return Price(rates.input, rates.output, read, write, **rest)


def undated(name: str) -> str:
    """claude-haiku-4-5 of claude-haiku-4-5-20251001, gpt-5.5 of gpt-5.5-2026-04-23."""
    return re.sub(r"-(\d{8}|\d{4}-\d{2}-\d{2})$", "", name)
