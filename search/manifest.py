"""The manifest of a bundle: where a candidate comes from, what was measured of it, and the hash of every file."""
import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluator import statistics
from evaluator.report import Estimate
from search.candidate import Candidate, Entry
from vortex.errors import BundleError

AGAIN = "Export the candidate again."
LIBRARIES = ("vortex-platform", "torch", "transformers", "numpy", "triton", "sglang")


class Ancestor(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    name: str
    author: str


class Manifest(BaseModel):
    """`settings` is the campaign as it was resolved (its stages with their seeds); `dense` holds the dense control's
    figures; `no_upstream` says why there is no flow_upstream.py; `files` maps a name to its SHA-256; `digest` is that
    of the manifest itself without this key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    candidate: int
    name: str
    campaign: str
    author: str
    hypothesis: str
    lineage: tuple[Ancestor, ...]
    created_at: float
    flow_hash: str
    point_hash: str
    seed: int
    settings: dict[str, Any]
    versions: dict[str, str]
    environments: tuple[dict[str, Any], ...]
    metrics: dict[str, Estimate]
    dense: dict[str, Estimate]
    no_upstream: str = ""
    files: dict[str, str]
    digest: str = ""

    def sealed(self) -> "Manifest":
        return self.model_copy(update={"digest": self._seal()})

    def is_whole(self) -> bool:
        """False when it was edited after it was written."""
        return self.digest == self._seal()

    def _seal(self) -> str:
        body = self.model_dump(mode="json", exclude={"digest"} if self.no_upstream else {"digest", "no_upstream"})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read_manifest(text: str) -> Manifest:
    """Raises BundleError."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest.json"
        raise BundleError(f"manifest.json cannot be read: {place}: {first['msg']}", hint=AGAIN) from error
    if not manifest.is_whole():
        raise BundleError("manifest.json was changed after the export", hint=AGAIN)
    return manifest


def figures(entry: Entry) -> dict[str, Estimate]:
    """Accuracy over all tasks, speed, either with its other interval, and what each stage measured beside them."""
    found = {name: value for result in entry.report.results for name, value in result.metrics.items()}
    by_stage = entry.by_stage
    if any(stage in by_stage for stage in statistics.ACCURACY_STAGES):
        found["accuracy"] = statistics.accuracy(by_stage)
    return found | statistics.other_intervals(by_stage)


def ancestors(lineage: tuple[Candidate, ...]) -> tuple[Ancestor, ...]:
    return tuple(Ancestor(id=one.id, name=one.name, author=one.author) for one in lineage)


def versions() -> dict[str, str]:
    """Python and those of our libraries that are installed here."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
