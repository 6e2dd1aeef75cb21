"""Known algorithms, one small file each: seeds of searches, examples, and the controls every comparison needs."""
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from vortex.errors import FlowNotFound
from vortex.language.calls import nearest

FOLDER = Path(__file__).parent
REGISTERED = re.compile(r"^@register\((.*)\)", re.MULTILINE)
QUOTED = re.compile(r'"([^"]+)"')
CONTROLS = ("dense", "random", "recent", "oracle", "oracle-peak")
ALGORITHMS = ("centroid", "quest", "gqa-centroid", "lserve", "lserve-centroid", "masked-quest", "centered-centroid",
              "running-average", "value-energy", "arkvale", "infllm", "rocketkv", "relu-indexer", "twilight", "h2o",
              "tidaldecode")
CALIBRATED = ("double-sparsity", "loki")      # with a parameter file of the shipped probe
LATENT = ("mla-centroid", "mla-lserve-centroid", "mla-nope-centroid", "mla-nope-lserve-centroid", "mla-weighted")


def names() -> tuple[str, ...]:
    """Short names of the built-in flows: algorithms first, controls last."""
    return ALGORITHMS + CALIBRATED + LATENT + CONTROLS


def settings(path: str) -> dict[str, Any]:
    """What the flow of this file asks of the operating point: of a built-in one its NAME.toml says so; mostly nothing."""
    beside = Path(path).with_suffix(".toml")
    return tomllib.loads(beside.read_text()) if beside.parent == FOLDER and beside.exists() else {}


@cache
def aliases() -> dict[str, str]:
    """Further names of the built-in flows, those of the upstream, to their short names."""
    found: dict[str, str] = {}
    for name in names():
        match = REGISTERED.search(_file(name).read_text())
        assert match is not None, name
        found |= dict.fromkeys(QUOTED.findall(match[1])[1:], name)
    return found


def _file(name: str) -> Path:
    return FOLDER / f"{name.replace('-', '_')}.py"


def read(name_or_path: str) -> tuple[str, str, str]:
    """(name, text, path) of a built-in flow or of a file. Reads text only. Raises FlowNotFound."""
    name = aliases().get(name_or_path, name_or_path.replace("_", "-"))
    if name in names():
        return name, _file(name).read_text(), str(_file(name))
    path = Path(name_or_path)
    looks_like_a_file = path.suffix == ".py" or len(path.parts) > 1
    try:
        return path.stem, path.read_text(), str(path)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if looks_like_a_file or path.is_dir():
            raise FlowNotFound(f"cannot read {name_or_path}: {getattr(error, 'strerror', None) or error}",
                               hint="FLOW is a file or the name of a built-in.") from error
        raise FlowNotFound(f"there is no flow {name_or_path!r}",
                           hint=nearest(name_or_path, [*names(), *aliases()])) from error
