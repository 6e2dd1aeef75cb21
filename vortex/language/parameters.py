"""Declared parameter files: learned constants in a safetensors file next to a flow's text; no other file is opened."""
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from vortex.errors import ParameterError
from vortex.ir import Graph, Parameter
from vortex.language.ops.shapes import LARGEST_CONST, shown

MOST_BYTES = 4 * LARGEST_CONST      # of float32, all parameters of a flow together
MOST_FILE = 64 << 20        # bytes of one file, which may hold other keys too
MOST_KEY = 200
MOST_FILES = 8              # that a text is searched for
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}\.safetensors")
QUOTED = re.compile(r"""["']([^"'\n]{1,200})["']""")
TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
USAGE = 'Write ops.param("name.safetensors", "key"); the file lies next to the flow\'s text.'


def checked_name(file: object, key: object) -> tuple[str, str]:
    """A plain file name and a key. Raises ParameterError."""
    if not isinstance(file, str) or not FILE.fullmatch(file) or ".." in file:
        raise ParameterError(f"{shown(file)} is not the plain name of a safetensors file", hint=USAGE)
    if not isinstance(key, str) or not 1 <= len(key) <= MOST_KEY or not key.isprintable():
        raise ParameterError(f"{shown(key)} is not a key of a safetensors file", hint=USAGE)
    return file, key


def checked_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a parameter called `name`. Raises ParameterError."""
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise ParameterError(f"{name} has the shape {list(shape)}",
                             hint="It is [rows, cols], [layers, rows, cols] or [layers, kv heads, rows, cols].")
    if size_of(shape) > MOST_BYTES:
        raise ParameterError(f"{name} of the shape {list(shape)} is too large",
                             hint=f"The parameters of a flow hold {MOST_BYTES >> 20} MiB in float32 at most.")
    return tuple(shape)


def size_of(shape: Sequence[int]) -> int:
    """Bytes of a parameter in float32."""
    return 4 * math.prod(shape)


def total_size(parameters: Sequence[Parameter]) -> int:
    """Bytes of their contents in float32, each once."""
    return sum(size_of(shape) for shape in {p.digest: p.shape for p in parameters}.values())


def digest_of(shape: Sequence[int], data: bytes) -> str:
    """32 hex digits of a parameter's shape and its float32 numbers."""
    return hashlib.blake2b(json.dumps(list(shape)).encode() + b"\n" + data, digest_size=16).hexdigest()


def folder_of(path: str) -> Path | None:
    """Where the files of a flow lie that was read from `path`; None for a text that comes from no file."""
    try:
        return Path(path).parent if not path.startswith("<") and Path(path).is_file() else None
    except OSError:
        return None       # a name too long for a file


def named_in(text: str, path: str) -> tuple[Parameter, ...]:
    """The parameters whose file and key stand in quotes in `text`, as far as they can be read and are not too many."""
    words, folder = list(dict.fromkeys(QUOTED.findall(text))), folder_of(path)
    found = Parameters(folder)
    for file in list(filter(FILE.fullmatch, words))[:MOST_FILES]:
        keys: Mapping[str, object] = {}
        with suppress(ParameterError):
            keys = _tensors(folder, file)
        for key in filter(keys.__contains__, words):
            with suppress(ParameterError):
                found.find(file, key)
    return found.declared


class Parameters:
    """What one flow declares while it is traced: those that are `known`, whatever lies in `folder`, then its files."""

    def __init__(self, folder: Path | None = None, known: Sequence[Parameter] = ()) -> None:
        self._folder = folder
        self._known = {(p.file, p.key): p for p in known}
        self._files: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self._found: dict[tuple[str, str], Parameter] = {}

    @property
    def declared(self) -> tuple[Parameter, ...]:
        """In the order in which they were asked for; a content may stand under several names."""
        return tuple(self._found.values())

    def find(self, file: object, key: object) -> Parameter:
        """Raises ParameterError."""
        name = checked_name(file, key)
        if name not in self._found:
            self._found[name] = self._known.get(name) or self._read(*name)
            if total_size(self.declared) > MOST_BYTES:
                raise ParameterError(f"the parameters of the flow take more than {MOST_BYTES >> 20} MiB in float32")
        return self._found[name]

    def _read(self, file: str, key: str) -> Parameter:
        if file not in self._files:
            self._files[file] = _tensors(self._folder, file)
        tensors = self._files[file]
        if key not in tensors:
            keys = ", ".join(sorted(tensors)[:20]) or "none"
            raise ParameterError(f"{file} has no key {key!r}", hint=f"Its keys: {keys}.")
        shape, data = _numbers(f'"{key}" of {file}', tensors[key])
        return Parameter(file, key, shape, digest_of(shape, data), data)


def _tensors(folder: Path | None, file: str) -> Mapping[str, Mapping[str, Any]]:
    """The tensors of a file by key, as they lie there: dtype, shape, data. Raises ParameterError."""
    if folder is None:
        raise ParameterError(f"{file} is asked for by a flow that was given as text: no file lies next to it",
                             hint="Keep the flow in a file, and the safetensors file next to that.")
    try:
        tensors = deserialize(_content(folder, file))  # type: ignore[no-untyped-call]  # safetensors has no types
        return {str(key): tensor for key, tensor in tensors}
    except SafetensorError as error:
        raise ParameterError(f"{file} is not a safetensors file: {error}", hint="Save it with safetensors.") from error


def _content(folder: Path, file: str) -> bytes:
    """Raises ParameterError for what is no file of this very folder."""
    try:
        path = (folder / file).resolve()
        if path.parent != folder.resolve():
            raise ParameterError(f"{file} leads out of the folder of the flow", hint="Put the file itself there.")
        # A pipe would block at opening; it is refused after that.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _read_from(handle, file)
        finally:
            os.close(handle)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParameterError(f"{file} cannot be read: {reason}", hint="It lies next to the flow's text.") from error


def _read_from(handle: int, file: str) -> bytes:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise ParameterError(f"{file} is not a file")
    if found.st_size > MOST_FILE:
        raise ParameterError(f"{file} is larger than {MOST_FILE >> 20} MiB", hint="Keep only what the flow reads.")
    with os.fdopen(handle, "rb", closefd=False) as opened:
        return opened.read(MOST_FILE)


def _numbers(name: str, tensor: Mapping[str, Any]) -> tuple[tuple[int, ...], bytes]:
    """Shape and little-endian float32 of a tensor as it lies in its file. Raises ParameterError."""
    import numpy as np  # the language loads without it

    shape, kind, raw = checked_shape(name, tensor["shape"]), tensor["dtype"], bytes(tensor["data"])
    if kind not in TYPES:
        raise ParameterError(f"{name} is of the type {kind}", hint=f"Types: {', '.join(TYPES.values())}.")
    if kind == "BF16":
        numbers = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(raw, "<f2" if kind == "F16" else "<f4").astype("<f4")
    if not np.isfinite(numbers).all():
        raise ParameterError(f"{name} holds a number that is not finite")
    return shape, numbers.tobytes()


def without_data(graph: Graph) -> Graph:
    """The Graph as an archive keeps it: of its parameters only what they are called and their digests."""
    return replace(graph, parameters=tuple(replace(p, data=b"") for p in graph.parameters))


def with_data(graph: Graph, contents: Mapping[str, bytes]) -> Graph:
    """The Graph with the data of its parameters, from `contents` by digest. Raises ParameterError where it lacks."""
    whole = tuple(replace(p, data=contents.get(p.digest, p.data)) for p in graph.parameters)
    lacking = next((p for p in whole if len(p.data) != size_of(p.shape)), None)
    if lacking is not None:
        raise ParameterError(f'the numbers of "{lacking.key}" of {lacking.file} are not there',
                             hint=f"Its digest is {lacking.digest}.")
    return replace(graph, parameters=whole)


def merged(*several: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Parameters of several flows for one: no two under one name, and the first keeps it."""
    found: dict[tuple[str, str], Parameter] = {}
    for parameter in (p for one in several for p in one):
        stem, count, file = parameter.file.removesuffix(".safetensors"), 1, parameter.file
        while found.setdefault((file, parameter.key), replace(parameter, file=file)).digest != parameter.digest:
            count += 1
            file = f"{stem}_{count}.safetensors"
    return tuple(found.values())


def files_of(parameters: Sequence[Parameter]) -> dict[str, bytes]:
    """The safetensors files that hold `parameters`, by name."""
    import numpy as np  # the language loads without it
    from safetensors.numpy import save

    tensors: dict[str, dict[str, Any]] = {}
    for p in parameters:
        tensors.setdefault(p.file, {})[p.key] = np.frombuffer(p.data, "<f4").reshape(p.shape)
    return {file: bytes(save(keys)) for file, keys in tensors.items()}
