"""A Campaign: one search, read from a TOML file, checked by name and line, and frozen."""
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import toml_text
from agent.exams import check_exam
from agent.named import check_named
from agent.proposers.registry import check_kind, make_proposer
from agent.tables import (
    TABLES,
    BudgetTable,
    CampaignTable,
    Knobs,
    ProposerTable,
    StageTable,
    known,
    placed,
    point_and_knobs,
    table,
    tables,
)
from agent.toml_text import TomlText
from evaluator.stages import make_stage
from vortex import flows
from vortex.config import OperatingPoint
from vortex.errors import CampaignError

SHIPPED = Path(__file__).parent.parent / "experiments"
LIMITS = ("dollars", "tokens", "calls")
PLATEAU = CampaignTable.model_fields["plateau"].default
DEFAULT_STAGES = ("static", "numerics", "retrieval", "chain", "speed")


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """`point` holds each knob at the middle of its values; `knobs` are the settings that the search may turn."""

    name: str
    goal: str
    seed: int
    controls: tuple[str, ...]
    seeds: tuple[str, ...]
    candidates: int
    minutes: float
    round_size: int
    dollars: float | None = None
    tokens: int | None = None
    calls: int | None = None
    plateau: int = PLATEAU
    prompts: str | None = None
    duplicates: str = "skip"
    point: OperatingPoint
    knobs: Knobs
    proposers: tuple[ProposerTable, ...]
    stages: tuple[StageTable, ...]
    text: str = field(default="", repr=False, compare=False)          # of the file, as it was read

    def to_json(self) -> dict[str, Any]:
        """The resolved campaign, every default filled in, in the form of a campaign file; what is not limited is left out."""
        point = self.point.model_dump(mode="json") | {name: list(values) for name, values in self.knobs}
        limits = {name: value for name in LIMITS if (value := getattr(self, name)) is not None}
        return {
            "campaign": {"name": self.name, "goal": self.goal, "seed": self.seed, "controls": list(self.controls),
                         "seeds": list(self.seeds)} | ({} if self.plateau == PLATEAU else {"plateau": self.plateau})
            | ({} if self.prompts is None else {"prompts": self.prompts})
            | ({} if self.duplicates == "skip" else {"duplicates": self.duplicates}),
            "budget": {"candidates": self.candidates, "minutes": self.minutes, "round_size": self.round_size} | limits,
            "point": point,
            "proposer": [p.model_dump(mode="json", exclude_none=True) for p in self.proposers],
            "stage": [s.model_dump(mode="json") for s in self.stages],
        }

    @property
    def hash(self) -> str:
        """16 hex digits of the resolved campaign."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def find(name_or_path: str) -> Path:
    """A campaign file: a path, or the bare name of a shipped one. Raises CampaignError with the nearest name."""
    path = Path(name_or_path)
    shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    if path.is_file():
        return path
    if path.stem in shipped and path.suffix in ("", ".toml") and str(path.parent) in (".", SHIPPED.name):
        return SHIPPED / f"{path.stem}.toml"
    near = difflib.get_close_matches(path.stem, shipped, n=1)
    nearest = f"Did you mean {near[0]!r}? " if near else ""
    raise CampaignError(f"there is no campaign file {name_or_path!r}",
                        hint=f"{nearest}Shipped campaigns: {', '.join(shipped)}. Or give the path of a TOML file.")


def load(name_or_path: str, settings: Sequence[str] = ()) -> Campaign:
    """Reads, applies `--set` settings and checks, prices too. Raises CampaignError, PointError or Unpriced, placed."""
    path = find(name_or_path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"cannot read {path}: {error}") from error
    toml = toml_text.with_settings(toml_text.parse(text, str(path)), settings)
    campaign = build(toml)
    check_named(toml, campaign.stages)
    for index, spec in enumerate(campaign.proposers):
        with placed(toml, ("proposer", index, "model")):
            spec.check_model()
    return campaign


def from_json(body: Mapping[str, Any], name: str, text: str = "") -> Campaign:
    """The campaign that `to_json` told of, as the archive keeps it."""
    return build(TomlText(text, f"campaign {name!r} in the archive", dict(body)))


def build(toml: TomlText) -> Campaign:
    """Checks every table of `toml`. Raises CampaignError or PointError at the first mistake."""
    known(toml, (), toml.body, TABLES)
    head = table(toml, ("campaign",), toml.body.get("campaign", {}), CampaignTable)
    budget = table(toml, ("budget",), toml.body.get("budget", {}), BudgetTable)
    point, knobs = point_and_knobs(toml)
    for key, names in (("controls", head.controls), ("seeds", head.seeds)):
        for name in names:
            with placed(toml, ("campaign", key)):
                flows.read(name)
    return Campaign(
        name=head.name, goal=head.goal, seed=head.seed, controls=head.controls, seeds=head.seeds,
        candidates=budget.candidates, minutes=budget.minutes, round_size=budget.round_size,
        dollars=budget.dollars, tokens=budget.tokens, calls=budget.calls, plateau=head.plateau, prompts=head.prompts,
        duplicates=head.duplicates,
        point=point, knobs=knobs,
        proposers=_proposers(toml), stages=_stages(toml), text=toml.text,
    )


def _proposers(toml: TomlText) -> tuple[ProposerTable, ...]:
    found = []
    for place, spec in tables(toml, "proposer", ProposerTable):
        with placed(toml, place):
            make_proposer(spec.kind, spec.settings)
            check_kind(spec.kind, spec.model)
        found.append(spec)
    if found and not any(spec.weight for spec in found):
        raise CampaignError("no proposer has a weight", hint="A weight of 0 is for one that waits for a plateau.",
                            where=toml.where(("proposer", 0, "weight")))
    return tuple(found) or (ProposerTable(kind="evolve"),)


def _stages(toml: TomlText) -> tuple[StageTable, ...]:
    """The stages in the order of the file; none at all means the default funnel."""
    found: list[StageTable] = []
    for place, spec in tables(toml, "stage", StageTable):
        with placed(toml, place):
            if spec.name in (stage.name for stage in found):
                raise CampaignError(f"stage {spec.name!r} stands twice", hint="A stage runs once: merge the two.")
            make_stage(spec.name, spec.settings)
        found.append(spec)
        last = place
    if found:
        with placed(toml, last):
            check_exam(found)
    return tuple(found) or tuple(StageTable(name=name) for name in DEFAULT_STAGES)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """One line a setting that differs: `budget.candidates: 32 -> 64`."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "(not set)"), new.get(key, "(not set)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: {json.dumps(before)} -> {json.dumps(after)}"
