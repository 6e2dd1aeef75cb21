"""The operating point: everything about a measurement that is not the algorithm; and the upstream's form of it."""
import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from vortex.errors import BudgetError, PointError, Where

FieldDtype = Literal["float32", "bfloat16", "float16"]
LayerMode = Literal["dense", "select", "reuse"]
Target = Literal["sm_80", "sm_90", "sm_100"]
DenseBelow = Literal["auto", "never"] | Annotated[int, Field(ge=0)]   # auto: measured when an engine starts; else tokens
LATER = ("target", "dense_below")
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
    target: Target | None = None                                      # the GPU that kernels are built for beforehand
    dense_below: DenseBelow | None = None                             # steps of shorter contexts are dense; None: the engine's

    def __init__(self, **settings: Any) -> None:
        """Raises PointError naming the first setting that cannot be."""
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise _refusal(error, OperatingPoint) from None

    @field_validator("dense_below", mode="before")
    @classmethod
    def _tokens_or_a_word(cls, value: object) -> object:
        if value in (None, "auto", "never") or (isinstance(value, int | str) and str(value).isdecimal()):
            return value
        raise ValueError(f'"auto", "never" or a number of tokens, not {value!r}')

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.block_size & (self.block_size - 1):
            raise ValueError(f"block_size must be a power of two, not {self.block_size}")
        if not math.isfinite(self.topk_ratio):
            raise ValueError("topk_ratio must be a finite number")
        if self.schedule_policy is not None and not self.schedule_policy.strip():
            raise BudgetError("schedule_policy is empty", hint="Leave it out for the default budget.")
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

    @model_serializer(mode="wrap")
    def _told(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A point without the later settings is told, and hashed, as before there were any: archives hold such."""
        told: dict[str, Any] = usual(self)
        return {name: value for name, value in told.items() if value is not None or name not in LATER}

    def with_(self, **changes: object) -> "OperatingPoint":
        """A checked copy with some settings changed. Raises PointError."""
        return make_point({**self.model_dump(), **changes})


def _refusal(error: ValidationError, model: type[BaseModel]) -> PointError:
    first = error.errors()[0]
    hint = "Settings: " + ", ".join(model.model_fields) + "."
    name = ".".join(str(part) for part in first["loc"][:1] + tuple(p for p in first["loc"][1:] if isinstance(p, int)))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, model.model_fields, n=1)
        return PointError(f"{name} is not a setting", hint=f"Did you mean {near[0]}? {hint}" if near else hint)
    problem = first["msg"].removeprefix("Value error, ")
    return PointError(f"{name}: {problem}" if name else problem, hint=hint)


def make_point(settings: Mapping[str, Any], where: Where | None = None) -> OperatingPoint:
    """Raises PointError, placed at `where`, naming the first setting that cannot be."""
    try:
        return OperatingPoint(**settings)
    except PointError as error:
        raise error.at(where or Where()) from None


def load_point(path: Path) -> OperatingPoint:
    """Reads a TOML file that holds settings at the top or under [point]. Raises PointError."""
    try:
        body = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PointError(f"cannot read {path}: {error}") from error
    return make_point(body.get("point", body), Where(str(path)))


class VortexConfig(BaseModel):
    """The upstream's settings of sparse attention, with its names and defaults; `point` makes an OperatingPoint of them.

    `without_meaning` names those that are kept and change nothing here. Raises PointError for a setting that cannot be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topk_val: Annotated[int, Field(ge=1)] = 30
    max_topk_val: Annotated[int, Field(ge=1)] | None = None
    layers_skip: tuple[int, ...] | None = None                        # None: no layer
    block_reserved_bos: Annotated[int, Field(ge=0)] = 1
    block_reserved_eos: Annotated[int, Field(ge=1)] = 1
    max_seq_lens: Annotated[int, Field(ge=-1)] = -1
    workload_chunk_size: Annotated[int, Field(ge=1)] = 32
    dtype: str = "bfloat16"
    module_path: str | None = None
    module_name: str | None = None
    block_size: Annotated[int, Field(ge=1)] = 16
    topk_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    compilation_cache_dir: str | None = None
    schedule_policy: str | None = None
    attention_backend: Literal["flashinfer", "trtllm"] = "flashinfer"
    impl_backend: Literal["triton", "cuda"] = "triton"
    use_tensor_core: bool = False
    host_kv_gb: Annotated[float, Field(ge=0.0)] = 0.0
    host_kv_pool_blocks: Annotated[int, Field(ge=0)] = 0
    host_kv_policy: Literal["lru", "fifo", "full"] = "lru"
    kv_int4: bool = False

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise _refusal(error, VortexConfig) from None

    @model_validator(mode="after")
    def _cores_belong_to_triton(self) -> Self:
        if self.use_tensor_core and self.impl_backend != "triton":
            raise ValueError("use_tensor_core goes with impl_backend 'triton' only")
        return self

    @property
    def without_meaning(self) -> tuple[str, ...]:
        """Settings that differ from their defaults and do not change what a flow selects or attends here."""
        return tuple(name for name in WITHOUT_MEANING if getattr(self, name) != type(self).model_fields[name].default)

    def point(self, model: str = "", **changes: Any) -> OperatingPoint:
        """The same as an OperatingPoint for `model`; `changes` are settings of the point. Raises PointError."""
        if self.dtype not in DTYPE_NAMES:
            raise PointError(f"dtype: fields are not kept in {self.dtype!r}", hint=f"Allowed: {', '.join(DTYPE_NAMES)}.")
        kept = ("block_size", "topk_val", "topk_ratio", "block_reserved_bos", "block_reserved_eos", "schedule_policy",
                "max_topk_val")
        return make_point({"model": model, "dtype": DTYPE_NAMES[self.dtype], "layers_skip": self.layers_skip or (),
                           **{name: getattr(self, name) for name in kept}, **changes})

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """From names with or without the prefix `vortex_`; unknown ones are ignored."""
        bare = {name.removeprefix(PREFIX): value for name, value in flat.items()}
        return cls(**{name: value for name, value in bare.items() if name in cls.model_fields})

    @classmethod
    def legacy_defaults(cls) -> dict[str, Any]:
        return {name: field.default for name, field in cls.model_fields.items()}


PREFIX = "vortex_"
WITHOUT_MEANING = ("max_seq_lens", "workload_chunk_size", "compilation_cache_dir", "attention_backend", "impl_backend",
                   "use_tensor_core", "host_kv_gb", "host_kv_pool_blocks", "host_kv_policy", "kv_int4")
DTYPE_NAMES: dict[str, FieldDtype] = {"bfloat16": "bfloat16", "bf16": "bfloat16", "float16": "float16", "fp16": "float16",
                                      "float32": "float32", "fp32": "float32"}


def split_flat_kwargs(kwargs: Mapping[str, Any]) -> tuple[VortexConfig | None, dict[str, Any]]:
    """The config of the `vortex_*` entries, where `enable_vortex_sparsity` is set, and the entries that are not of it."""
    flat = {name: value for name, value in kwargs.items() if name.startswith(PREFIX)}
    rest = {name: value for name, value in kwargs.items() if name not in flat and name != "enable_vortex_sparsity"}
    return VortexConfig.from_flat(flat) if kwargs.get("enable_vortex_sparsity") else None, rest


def normalize_vortex_config(given: VortexConfig | Mapping[str, Any] | str) -> VortexConfig:
    """A config, its JSON text, or its entries. Raises PointError."""
    if isinstance(given, VortexConfig):
        return given
    try:
        body = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise PointError(f"the config is not JSON: {error}") from None
    if not isinstance(body, Mapping):
        raise PointError("the config is not an object", hint="Settings: " + ", ".join(VortexConfig.model_fields) + ".")
    return VortexConfig.from_flat(body)
