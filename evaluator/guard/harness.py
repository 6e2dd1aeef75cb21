"""Our own files, as they were when a run began: what judges must not change under what is judged."""
import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

from vortex.errors import VortexError

ROOT = Path(__file__).parents[2]
PACKAGES = ("vortex", "evaluator", "search", "agent")
KINDS = (".py", ".json", ".jsonl", ".toml", ".txt", ".c", ".safetensors")
MOST_NAMED = 5
Stamp = tuple[int, int]                                   # size in bytes, time of the last change in ns


class HarnessChanged(VortexError):
    """Files of the platform were changed while it ran: nothing measured since can be believed."""

    def __init__(self, names: Iterable[str], where: str = "this machine") -> None:
        found = sorted(names)
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        super().__init__(f"the platform's own files changed on {where} while it ran: {', '.join(found[:MOST_NAMED])}{more}",
                         hint="What was measured before stays. See who changed them, put them back, then resume.")


@dataclass
class Harness:
    """Contents by name below `root`. A file is read again where its size or time of change is another, and `thorough`
    reads all: what wrote a file and put both back is caught there. That takes some 25 ms, the quick look some 5."""

    root: Path
    digests: Mapping[str, str]
    _stamps: dict[str, Stamp] = field(default_factory=dict, repr=False)

    @classmethod
    def taken(cls, root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> Self:
        """As the files are now: sources, the probe's weights, data of tasks; under the top folders `packages`."""
        found = {name: entry for package in packages for name, entry in _files(root, package)}
        stamps = {name: _stamp(entry) for name, entry in found.items()}
        return cls(root, {name: _digest(entry) for name, entry in found.items()}, stamps)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all names and contents."""
        text = "\n".join(f"{name} {digest}" for name, digest in sorted(self.digests.items()))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def changed(self, *, thorough: bool = False) -> list[str]:
        """Names of files that came, went or hold something else."""
        tops = {name.split("/")[0] for name in self.digests}
        now = {name: entry for top in tops for name, entry in _files(self.root, top)}
        return sorted({*(self.digests.keys() ^ now.keys()),
                       *(name for name, one in now.items() if name in self.digests and self._differs(name, one, thorough))})

    def check(self, *, thorough: bool = False) -> None:
        """Raises HarnessChanged."""
        names = self.changed(thorough=thorough)
        if names:
            raise HarnessChanged(names)

    def _differs(self, name: str, entry: os.DirEntry[str], thorough: bool) -> bool:
        try:
            stamp = _stamp(entry)
            if stamp == self._stamps[name] and not thorough:
                return False
            if _digest(entry) != self.digests[name]:
                return True
        except OSError:
            return True
        self._stamps[name] = stamp                         # touched, or written anew with the same contents
        return False


@lru_cache(maxsize=1)
def harness() -> Harness:
    """Of this process: taken when it is first asked for."""
    return Harness.taken()


def _files(root: Path, package: str) -> Iterable[tuple[str, os.DirEntry[str]]]:
    for entry in _below(f"{root}/{package}"):
        if entry.name.endswith(KINDS) and entry.is_file():
            yield entry.path.removeprefix(f"{root}/"), entry


def _below(folder: str) -> Iterable[os.DirEntry[str]]:
    """All that is no folder; of folders that went, nothing."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield entry


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    found = entry.stat()
    return found.st_size, found.st_mtime_ns


def _digest(entry: os.DirEntry[str]) -> str:
    with Path(entry.path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
