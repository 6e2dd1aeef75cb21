"""Settings of a proposer, read from its table of a campaign file."""
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vortex.errors import CampaignError

Settings = TypeVar("Settings", bound=BaseModel)
Turns = Annotated[int, Field(ge=0, le=4)]


class AskedSettings(BaseModel):
    """What every proposer that asks a model takes. `repairs`: how often a refusal goes back to the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repairs: Turns = 2


def read_settings(kind: str, settings: Mapping[str, Any], model: type[Settings]) -> Settings:
    """Raises CampaignError for a setting that the proposer does not take."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        raise CampaignError(f"{kind}: {first['loc'][0]}: {first['msg'].lower()}",
                            hint=f"Settings of {kind}: {', '.join(model.model_fields)}.") from None
