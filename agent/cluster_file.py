"""What workers may use, read from a TOML file: units as people say them, a mistake told with its line."""
import math
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from agent import toml_text
from agent.tables import Table, known, table
from evaluator.cluster import ClusterSettings
from vortex.errors import CampaignError, EngineError

GIB = 1 << 30
TABLE = "cluster"
Count: TypeAlias = Annotated[int, Field(ge=1)]
Amount: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ClusterTable(Table):
    """See ClusterSettings."""

    address: Annotated[str | None, Field(min_length=1)] = ClusterSettings.address
    workers: Count | None = ClusterSettings.workers
    gpus_per_worker: Count = ClusterSettings.gpus_per_worker
    threads: Count = ClusterSettings.threads
    memory_gib: Amount = ClusterSettings.memory_bytes / GIB
    load_s: Amount = ClusterSettings.load_s
    silent_s: Amount = ClusterSettings.silent_s
    lives: Count = ClusterSettings.lives

    @property
    def settings(self) -> ClusterSettings:
        rest = self.model_dump(exclude={"memory_gib"})
        return ClusterSettings(**rest, memory_bytes=math.ceil(self.memory_gib * GIB))


def read_cluster(path: Path) -> ClusterSettings:
    """Raises EngineError at the line of the first mistake."""
    try:
        return parse_cluster(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"cannot read {path}: {error}", hint="--cluster names a TOML file: docs/operations.md") from error


def parse_cluster(text: str, path: str) -> ClusterSettings:
    """Settings under [cluster]; `path` is what the text is called. Raises EngineError at the line of the first mistake."""
    try:
        toml = toml_text.parse(text, path)
        known(toml, (), toml.body, (TABLE,))
        return table(toml, (TABLE,), toml.body.get(TABLE, {}), ClusterTable).settings
    except CampaignError as error:                 # the code would speak of another file
        raise EngineError(error.message, hint=error.hint, where=error.where) from error
