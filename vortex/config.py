"""The operating point: everything about a measurement that is not the algorithm."""
import hashlib
import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vortex.errors import PointError, Where

FieldDtype = Literal["float32", "bfloat16", "float16"]
LayerMode = Literal["dense", "select", "reuse"]
Blocks = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class OperatingPoint(BaseModel):
    """Model, budget and engine settings. Frozen; unknown keys are refused. Names are those of the upstream's config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "probe"                                              # shipped name, folder, or Hugging Face id
    engine: Literal["embedded", "sglang"] = "embedded"
    block_size: Annotated[int, Field(ge=1, le=1024)] = 16             # tokens a block
    topk_val: Annotated[int, Field(ge=0)] = 0                         # blocks chosen by score, beside the reserved ones
    topk_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 0.125       # share of a row's blocks, reserved ones included
    block_reserved_bos: Annotated[int, Field(ge=0)] = 1               # first blocks, always attended
    block_reserved_eos: Annotated[int, Field(ge=1)] = 2               # last blocks, always attended
    # In tables by layer the last entry holds for all further layers; an entry is one value or one per kv head.
    topk_layers: tuple[Blocks | tuple[Blocks, ...], ...] = ()         # in place of topk_val
    ratio_layers: tuple[Share | tuple[Share, ...], ...] = ()          # in place of topk_ratio
    schedule_policy: str | None = None                                # the budget as an expression, or a C body
    layer_modes: tuple[LayerMode, ...] = ()                           # reuse: the lists of the last layer that selected
    layers_skip: tuple[int, ...] = ()                                 # layers that attend densely, whatever their mode
    renew_every: Annotated[int, Field(ge=1)] = 1                      # decode steps from one selection to the next
    page_size: Annotated[int, Field(ge=1)] | None = None              # tokens of a physical page; None: one block
    max_topk_val: Annotated[int, Field(ge=1)] | None = None           # refuses budgets that choose more blocks by score
    dtype: FieldDtype = "float32"                                     # of summary and state fields

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.block_size & (self.block_size - 1):
            raise ValueError(f"block_size must be a power of two, not {self.block_size}")
        if not math.isfinite(self.topk_ratio):
            raise ValueError("topk_ratio must be a finite number")
        return self

    @model_validator(mode="after")
    def _whole_pages(self) -> Self:
        if self.page_size is not None and self.page_size % self.block_size:
            raise ValueError(f"page_size must be a multiple of block_size {self.block_size}, not {self.page_size}")
        return self

    def mode(self, layer: int) -> LayerMode:
        """What a layer does in a decode step."""
        if layer in self.layers_skip:
            return "dense"
        return self.layer_modes[min(layer, len(self.layer_modes) - 1)] if self.layer_modes else "select"

    @property
    def hash(self) -> str:
        """12 hex digits of the settings."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6).hexdigest()

    def with_(self, **changes: object) -> "OperatingPoint":
        """A checked copy with some settings changed. Raises PointError."""
        return make_point({**self.model_dump(), **changes})


def make_point(settings: dict[str, object], where: Where | None = None) -> OperatingPoint:
    """Raises PointError naming the first setting that cannot be."""
    try:
        return OperatingPoint.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "point"
        hint = "Settings: " + ", ".join(OperatingPoint.model_fields) + "."
        raise PointError(f"{name}: {first['msg']}", hint=hint, where=where) from error


def load_point(path: Path) -> OperatingPoint:
    """Reads a TOML file that holds settings at the top or under [point]. Raises PointError."""
    try:
        body = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PointError(f"cannot read {path}: {error}") from error
    return make_point(body.get("point", body), Where(str(path)))
