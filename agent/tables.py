"""The tables of a campaign file, and the checks that turn a mistake in one into an error with its line."""
import difflib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.models.prices import price
from agent.toml_text import Place, TomlText
from vortex.budget import check_budget
from vortex.config import OperatingPoint, make_point
from vortex.errors import BudgetError, CampaignError, VortexError

DEFAULT_CONTROLS = ("dense", "random", "centroid", "quest")
TABLES = ("campaign", "budget", "point", "proposer", "stage")
# How deep the lists of a setting nest; a deeper one in a campaign file holds the values of a knob.
DEPTHS = {name: 2 if name.endswith("_layers") else 1 for name, field in OperatingPoint.model_fields.items()
          if "tuple" in str(field.annotation)}
Names = Annotated[tuple[str, ...], Field(strict=False)]
Knobs = tuple[tuple[str, tuple[Any, ...]], ...]
Model = TypeVar("Model", bound=BaseModel)
Dollars = Annotated[float | None, Field(gt=0)]
Count = Annotated[int | None, Field(ge=1)]


class Table(BaseModel):
    """Unknown keys, and values of another type than the key's, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CampaignTable(Table):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.\-]{0,63}$")]
    goal: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    controls: Names = DEFAULT_CONTROLS
    seeds: Names = ()                                                 # flows the evolver starts from; none: all built-in ones
    plateau: Annotated[int, Field(ge=1)] = 4                          # rounds without gain until after_plateau weights hold
    prompts: str | None = None                                        # a folder of templates in place of the shipped ones
    duplicates: Literal["skip", "measure"] = "skip"                   # measure: a flow that was tried already is run again


class BudgetTable(Table):
    candidates: Annotated[int, Field(ge=1)] = 32                      # proposals; the controls come on top
    minutes: Annotated[float, Field(gt=0)] = 10.0                     # of work, summed over interruptions
    round_size: Annotated[int, Field(ge=1, le=256)] = 8               # proposals between two choices of parents
    dollars: Dollars = None                                           # of language models; none: as many as they cost
    tokens: Count = None
    calls: Count = None


class NamedTable(BaseModel):
    """A table that names a thing; its further keys are settings which that thing checks."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class ProposerTable(NamedTable):
    """`model` and what follows it are for proposers that ask one; the limits are for this proposer's calls alone."""

    kind: str
    weight: Annotated[float, Field(ge=0)] = 1.0                       # its share of a round's proposals
    after_plateau: Annotated[float | None, Field(ge=0)] = None        # the weight once the frontier stands still
    model: Annotated[str | None, Field(min_length=1)] = None
    base_url: Annotated[str | None, Field(pattern=r"^https?://[^\s@?#]+$")] = None     # holds no key
    dollars: Dollars = None
    tokens: Count = None
    calls: Count = None
    minutes: Annotated[float | None, Field(gt=0)] = None              # of its calls, added up
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=256)] = None           # of one answer
    thinking_tokens: Annotated[int | None, Field(ge=0)] = None

    def check_model(self) -> None:
        """Refuses what cannot be paid for, or is said of no model. Raises CampaignError or Unpriced."""
        if self.model is not None:
            price(self.model)
            return
        given = [name for name in OF_A_MODEL if getattr(self, name) is not None]
        if given:
            raise CampaignError(f"{self.kind}: {given[0]} is said of no model", hint='Name one: model = "claude-sonnet-4-5"')


OF_A_MODEL = ("base_url", "dollars", "tokens", "calls", "minutes", "temperature", "max_tokens", "thinking_tokens")


class StageTable(NamedTable):
    name: str


@contextmanager
def placed(toml: TomlText, place: Place) -> Iterator[None]:
    """Gives a refusal raised inside the line of `place`."""
    try:
        yield
    except VortexError as error:
        raise error.at(toml.where(place)) from None


def known(toml: TomlText, place: Place, keys: Collection[str], allowed: Collection[str]) -> None:
    """Refuses the first key of the table at `place` that is not among `allowed`, naming the nearest one."""
    title = f"[{'.'.join(str(part) for part in place if isinstance(part, str))}]" if place else "the file"
    for key in keys:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            nearest = f"Did you mean {near[0]!r}? " if near else ""
            raise CampaignError(f"unknown key {key!r} in {title}", where=toml.where((*place, key)),
                                hint=f"{nearest}Allowed in {title}: {', '.join(allowed)}.")


def table(toml: TomlText, place: Place, body: Any, model: type[Model]) -> Model:
    """The table at `place`, checked. Raises CampaignError at the line of the first mistake."""
    if not isinstance(body, dict):
        raise CampaignError(f"{place[0]!r} must be a table", hint=f"Write [{place[0]}] and its keys below.",
                            where=toml.where(place))
    if model.model_config.get("extra") == "forbid":
        known(toml, place, body, tuple(model.model_fields))
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise CampaignError(f"[{place[0]}] {key}: {first['msg'].lower()}", hint=_advice(model, key),
                            where=toml.where((*place, key))) from None


def _advice(model: type[BaseModel], key: str) -> str:
    field = model.model_fields[key]
    return f"{key} is required." if field.is_required() else f"Leave {key} out for its default, {field.default!r}."


def tables(toml: TomlText, name: str, model: type[Model]) -> Iterator[tuple[Place, Model]]:
    """The tables of the array `name`, each with its place. Raises CampaignError."""
    array = toml.body.get(name, [])
    if not isinstance(array, list):
        raise CampaignError(f"{name!r} must be an array of tables", hint=f"Write [[{name}]].", where=toml.where((name,)))
    for index, body in enumerate(array):
        yield (name, index), table(toml, (name, index), body, model)


def point_and_knobs(toml: TomlText) -> tuple[OperatingPoint, Knobs]:
    """The point, each knob at the middle of its values, and the knobs. Raises CampaignError or PointError."""
    body = toml.body.get("point", {})
    if not isinstance(body, dict):
        raise CampaignError("'point' must be a table", hint="Write [point] and its keys below.", where=toml.where(("point",)))
    known(toml, ("point",), body, tuple(OperatingPoint.model_fields))
    fixed, knobs = dict(body), []
    for name, value in body.items():
        if _depth(value) > DEPTHS.get(name, 0):
            knobs.append((name, _values(toml, name, value)))
            fixed[name] = value[len(value) // 2]
    with placed(toml, ("point",)):
        point = make_point(fixed)
    _check_policy(toml, point)
    return point, tuple(knobs)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _check_policy(toml: TomlText, point: OperatingPoint) -> None:
    """The place in the file, in place of that in the policy; the message names the policy's line."""
    try:
        check_budget(point)
    except BudgetError as error:
        error.where = toml.where(("point", "schedule_policy"))
        raise


def _values(toml: TomlText, name: str, values: list[Any]) -> tuple[Any, ...]:
    if not values:
        raise CampaignError(f"[point] {name}: a knob needs at least one value", where=toml.where(("point", name)))
    for value in values:
        with placed(toml, ("point", name)):
            point = make_point({name: value})
        _check_policy(toml, point)
    return tuple(_frozen(value) for value in values)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
