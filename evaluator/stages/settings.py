"""Settings of stages: checked by name when a campaign is read; and the gate, a sentence such as `>= 0.85 of dense`."""
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.nearest import nearest
from evaluator.report import Estimate
from vortex.errors import CampaignError

_GATE = re.compile(r"(?:(possibly|surely)\s+)?>=\s*(\d*\.?\d+)(\s+of\s+dense)?")

BELOW_GATE = "below-gate"             # the code of a candidate that a gate turned away

_ROUNDING = 1e-9


class StageSettings(BaseModel):
    """What every stage takes. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0       # wall clock for one candidate


Settings = TypeVar("Settings", bound=StageSettings)


def read_settings(stage: str, kind: type[Settings], settings: Mapping[str, Any]) -> Settings:
    """Raises CampaignError naming the first setting that cannot be, and the nearest name of an unknown one."""
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = nearest(name, kind.model_fields)
            raise CampaignError(f"stage {stage} has no setting {name}", hint=hint) from error
        told = first["msg"].removeprefix("Value error, ")
        raise CampaignError(f"stage {stage}: {name}: {told}", hint=f"It is {first['input']!r} here.") from error


@dataclass(frozen=True)
class Gate:
    """The least mean score that passes: a share of the dense control's, or a plain number.

    `doubt` says what of the figure must reach it: the value; the high end of its 95 % interval (`possibly`), so that only
    what lies below beyond doubt is turned away; or the low end (`surely`).
    """

    least: float
    of_dense: bool
    doubt: str = ""

    @staticmethod
    def parse(text: str) -> "Gate":
        """Raises CampaignError."""
        match = _GATE.fullmatch(text.strip())
        if match is None or not 0 <= float(match[2]) <= 1:
            raise CampaignError(f"cannot read the gate {text!r}",
                                hint='A gate is ">= 0.5", or ">= 0.85 of dense", with a number from 0 to 1; "possibly" or '
                                     '"surely" before it compare the high or the low end of the interval.')
        return Gate(float(match[2]), bool(match[3]), match[1] or "")

    def threshold(self, dense: float | None) -> float:
        """The least mean score that passes. Raises CampaignError where the dense control is needed and has no rows."""
        if not self.of_dense:
            return self.least
        if dense is None:
            raise CampaignError(f"the gate {self} needs the dense control, and it has no rows here",
                                hint="Judge the dense control first, or give the gate as a plain number.")
        return self.least * dense

    def passed_by(self, figure: Estimate) -> bool:
        """`figure` is the mean score, or, for a gate of dense, its share of dense decode's."""
        end = {"possibly": figure.high, "surely": figure.low}.get(self.doubt, figure.value)
        return end >= self.least - _ROUNDING

    def __str__(self) -> str:
        return f"{self.doubt} >= {self.least:g}{' of dense' if self.of_dense else ''}".strip()
