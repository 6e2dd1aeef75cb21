"""Traces on disk: a safetensors file a trajectory, and a manifest that says what they are of."""
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from evaluator.traces.capture import Trajectory
from evaluator.traces.prompts import Prompt, Steps
from vortex.errors import VortexError
from vortex.serving import engine as serving
from vortex.serving.checkpoint import ModelShape

FORMAT = 1
MANIFEST = "manifest.json"
FLOAT_BYTES = 4


class TraceError(VortexError):
    """Traces cannot be read, or written where they are wanted."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the traces of a folder are of; `files` in order, each with the id of its trajectory and its size."""

    model: str
    engine: str
    tasks: Mapping[str, str]              # name -> fingerprint
    seed: int
    steps: Steps
    fingerprint: str
    versions: Mapping[str, str]
    thinking: bool | None = None          # the mode that was asked for, of models that have both
    files: Sequence[Mapping[str, Any]] = ()


def fingerprint(model: str, engine: str, prompts: Sequence[Prompt], steps: Steps) -> str:
    """16 hex digits of everything that traces depend on but the weights behind the model's name."""
    parts = (FORMAT, model, engine, steps, [(p.id, p.text, p.max_new_tokens) for p in prompts])
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def versions() -> dict[str, str]:
    """Of the libraries that capturing goes through."""
    return {name: version(name) for name in ("vortex-platform", "torch", "transformers")}


def expected_bytes(shape: ModelShape, prompts: Sequence[Prompt], tokens: Sequence[int], steps: Steps) -> int:
    """An upper bound of what `prompts` of so many tokens come to: K and V once, queries, log-probabilities of each step."""
    total = 0
    for prompt, length in zip(prompts, tokens, strict=True):
        said = prompt.max_new_tokens
        captured = said if steps == "every" else min(steps, said)
        row = shape.layers * shape.kv_heads * shape.head_dim
        total += 2 * (length + said) * row + captured * row * shape.group + said * shape.vocabulary
    return FLOAT_BYTES * total


def check_free(folder: Path, force: bool) -> None:
    """Raises TraceError where something stands that is not to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise TraceError(f"{folder} is a file", hint="Give a folder.")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise TraceError(f"{folder} is not empty", hint="Give another folder, or --force to replace the traces in it.")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise TraceError(f"{folder} holds something else than traces", hint="Give another folder: this one is not replaced.")


def check_room(folder: Path, expected: int) -> None:
    """Raises TraceError where the disk has less room than traces of `expected` bytes take."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if expected > free:
        raise TraceError(f"the traces may take {expected:,} bytes, and {free:,} are free at {there}",
                         hint="Take fewer --samples or --steps, or a smaller --window.")


def write(folder: Path, manifest: Manifest, trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """Yields each trajectory once it is on disk; the manifest comes last, so that traces cut off are none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for old in folder.glob("*.safetensors"):
            old.unlink()
        files = []
        for index, one in enumerate(trajectories):
            name = f"{index:04d}.safetensors"
            save_file(_tensors(one), folder / name)
            files.append({"file": name, "id": one.id, "bytes": (folder / name).stat().st_size,
                          "prompt_tokens": len(one.path.prompt), "tokens": len(one.path.forced), "captured": len(one.lens)})
            yield one
        body = {"format": FORMAT, **manifest.__dict__, "files": files}
        (folder / MANIFEST).write_text(json.dumps(body, indent=1) + "\n")
    except OSError as error:
        raise TraceError(f"cannot write traces to {folder}: {error.strerror or error}",
                         hint="Give a folder that can be written, on a disk with room.") from error


def read(folder: Path) -> tuple[Manifest, list[Trajectory]]:
    """Raises TraceError for a folder without whole traces of this format."""
    manifest = read_manifest(folder)
    try:
        return manifest, [_trajectory(str(one["id"]), load_file(folder / str(one["file"]))) for one in manifest.files]
    except (OSError, KeyError, SafetensorError) as error:
        raise TraceError(f"the traces in {folder} are damaged: {error}", hint="Capture them again with --force.") from error


def read_manifest(folder: Path) -> Manifest:
    """Raises TraceError."""
    try:
        body = json.loads((folder / MANIFEST).read_text())
        if body.pop("format") != FORMAT:
            raise TraceError(f"the traces in {folder} are of another format", hint="Capture them again with --force.")
        return Manifest(**body)
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"there are no traces in {folder}", hint=f"vortex trace capture --to {folder} makes some.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraceError(f"{folder / MANIFEST} cannot be read: {error}", hint="Capture the traces again with --force.") from error


def _tensors(one: Trajectory) -> dict[str, torch.Tensor]:
    whole = {"prompt": torch.tensor(one.path.prompt), "forced": torch.tensor(one.path.forced), "lens": torch.tensor(one.lens),
             "q": one.q.contiguous(), "k": one.k, "v": one.v}
    return whole if one.log_probs is None else {**whole, "log_probs": one.log_probs}


def _trajectory(name: str, tensors: Mapping[str, torch.Tensor]) -> Trajectory:
    prompt, forced, lens = (tuple(tensors[key].tolist()) for key in ("prompt", "forced", "lens"))
    return Trajectory(id=name, path=serving.Path(prompt=prompt, forced=forced), lens=lens, q=tensors["q"], k=tensors["k"],
                      v=tensors["v"], log_probs=tensors.get("log_probs"))
