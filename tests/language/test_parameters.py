"""Declared parameter files: what is read from them, what is refused, and how contents travel with a Graph."""
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import TensorSpec, serialize
from safetensors.numpy import load, save, save_file

from vortex.errors import ParameterError
from vortex.ir import SELECTION, Geometry, Graph, Node, Parameter
from vortex.language.parameters import (
    MOST_FILE,
    Parameters,
    digest_of,
    files_of,
    folder_of,
    merged,
    total_size,
    with_data,
    without_data,
)

WEIGHT = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
FILE = "w.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow").mkdir()
    save_file({"w": WEIGHT, "flat": WEIGHT[0], "deep": np.zeros((1, 1, 1, 1, 1), np.float32), "empty": WEIGHT[:0],
               "whole": WEIGHT.astype(np.int32), "nan": WEIGHT * np.float32("nan"),
               "double": WEIGHT.astype(np.float64), "layers": np.ones((4, 2, 3), np.float16)},
              tmp_path / "flow" / FILE)
    return tmp_path / "flow"


def of(file: str = FILE, key: str = "w", numbers: np.ndarray = WEIGHT) -> Parameter:
    data = numbers.astype("<f4").tobytes()
    return Parameter(file, key, numbers.shape, digest_of(numbers.shape, data), data)


def graph(*parameters: Parameter) -> Graph:
    everything = Node("everything", (), (), SELECTION)
    return Graph("made", Geometry(), (), (), (), (everything,), (), 0, parameters)


def test_a_parameter_is_shape_digest_and_float32_numbers(folder: Path) -> None:
    found = Parameters(folder).find(FILE, "w")
    assert (found, found.data) == (of(), of().data)
    assert np.frombuffer(found.data, "<f4").tolist() == WEIGHT.ravel().tolist()
    assert Parameters(folder).find(FILE, "layers").shape == (4, 2, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_numbers_of_lower_precision_are_read_exactly(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    import torch

    folder = tmp_path_factory.mktemp("flow")
    half = np.array([numbers], np.float16)
    brain = torch.tensor([numbers], dtype=torch.float32).bfloat16()
    raw = brain.view(torch.uint16).numpy().tobytes()
    (folder / FILE).write_bytes(bytes(serialize({
        "b": TensorSpec(dtype="bfloat16", shape=list(brain.shape), data_ptr=brain.data_ptr(), data_len=len(raw))})))
    (folder / "half.safetensors").write_bytes(save({"h": half}))
    read = Parameters(folder)
    assert np.frombuffer(read.find(FILE, "b").data, "<f4").tolist() == brain.float()[0].tolist()
    assert np.frombuffer(read.find("half.safetensors", "h").data, "<f4").tolist() == half[0].astype(np.float32).tolist()


def named(name: str) -> Callable[[Path], object]:
    return lambda folder: Parameters(folder).find(name, "w")


def of_key(key: object) -> Callable[[Path], object]:
    return lambda folder: Parameters(folder).find(FILE, key)


def large(*shapes: tuple[int, ...]) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        found = Parameters(folder)
        for number, shape in enumerate(shapes):
            save_file({"w": np.full(shape, number, np.float16)}, folder / f"{number}.safetensors")
            found.find(f"{number}.safetensors", "w")
    return read


def out_of_the_folder(folder: Path) -> None:
    (folder / FILE).rename(folder.parent / FILE)
    (folder / FILE).symlink_to(folder.parent / FILE)
    Parameters(folder).find(FILE, "w")


def a_circle(folder: Path) -> None:
    (folder / "a.safetensors").symlink_to("a.safetensors")
    Parameters(folder).find("a.safetensors", "w")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.safetensors")
    Parameters(folder).find("pipe.safetensors", "w")


def huge(folder: Path) -> None:
    with (folder / "huge.safetensors").open("wb") as file:
        file.truncate(MOST_FILE + 1)
    Parameters(folder).find("huge.safetensors", "w")


def no_file(folder: Path) -> None:
    (folder / "d.safetensors").mkdir()
    Parameters(folder).find("d.safetensors", "w")


def content(text: bytes) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / "x.safetensors").write_bytes(text)
        return Parameters(folder).find("x.safetensors", "w")
    return read


def header(**tensor: object) -> bytes:
    text = json.dumps({"w": tensor}).encode()
    return len(text).to_bytes(8, "little") + text


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    *((named(name), "is not the plain name of a safetensors file") for name in (
        "../w.safetensors", "/etc/passwd", "a/w.safetensors", "w.pt", "..safetensors", ".safetensors", "w.safetensors\n",
        "w\0.safetensors", "a..b.safetensors", "-w.safetensors", "~w.safetensors", "w\\w.safetensors", "x" * 300)),
    (lambda folder: Parameters(folder).find(3, "w"), "3 is not the plain name"),
    (of_key(""), "is not a key"), (of_key("x" * 201), "is not a key"), (of_key(None), "None is not a key"),
    (named("absent.safetensors"), "absent.safetensors cannot be read: No such file"),
    (lambda folder: Parameters(None).find(FILE, "w"), "by a flow that was given as text"),
    (of_key("v"), "w.safetensors has no key 'v'"),
    (of_key("flat"), r'"flat" of w.safetensors has the shape \[3\]'),
    (of_key("deep"), r"has the shape \[1, 1, 1, 1, 1\]"),
    (of_key("empty"), r"has the shape \[0, 3\]"),
    (of_key("whole"), "is of the type I32"), (of_key("double"), "is of the type F64"),
    (of_key("nan"), "holds a number that is not finite"),
    (large((1, 1 << 24)), "is too large"), (large((9, 1024, 1024)), "is too large"),
    (large((5, 1024, 1024), (5, 1024, 1024)), "the parameters of the flow take more than 32 MiB"),
    (out_of_the_folder, "leads out of the folder"), (a_circle, "a.safetensors cannot be read|leads out"),
    (pipe, "is not a file"), (no_file, "is not a file"), (huge, "is larger than 64 MiB"),
    *((content(text), "x.safetensors is not a safetensors file") for text in (
        b"", b"import os", b"PK\x03\x04" + bytes(40), save({"w": WEIGHT})[:-1], b"\x80\x04." + bytes(20),
        header(dtype="F32", shape=[1, 2], data_offsets=[0, 8]), header(dtype="F33", shape=[1], data_offsets=[0, 0]),
        header(dtype="F32", shape=[-1, 2], data_offsets=[0, 8]) + bytes(8), (1 << 62).to_bytes(8, "little") + b"{}")),
]


@pytest.mark.parametrize(("read", "match"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_parameter_is_refused_with_one_clear_error(folder: Path, read: Callable[[Path], object],
                                                             match: str) -> None:
    with pytest.raises(ParameterError, match=match) as refusal:
        read(folder)
    assert refusal.value.hint or "take more" in match or "not a file" in match or "not finite" in match


def test_a_link_within_the_folder_is_read(folder: Path) -> None:
    (folder / "link.safetensors").symlink_to(folder / FILE)
    assert Parameters(folder).find("link.safetensors", "w").digest == of().digest


def test_known_parameters_come_before_any_file(folder: Path) -> None:
    known = of(numbers=WEIGHT + 1)
    assert Parameters(folder, [known]).find(FILE, "w") == known
    assert Parameters(None, [known]).find(FILE, "w") == known
    assert Parameters(folder, [known]).find(FILE, "layers").shape == (4, 2, 3)


def test_a_content_asked_for_under_two_names_is_one_content(folder: Path) -> None:
    save_file({"again": WEIGHT}, folder / "copy.safetensors")
    read = Parameters(folder)
    assert read.find(FILE, "w").digest == read.find("copy.safetensors", "again").digest
    assert read.declared == (of(), of("copy.safetensors", "again"))
    assert total_size(read.declared) == WEIGHT.nbytes


@pytest.mark.parametrize("other", [WEIGHT + 1, WEIGHT.reshape(3, 2), WEIGHT.reshape(1, 2, 3), -WEIGHT])
def test_the_digest_tells_numbers_and_shapes_apart(other: np.ndarray) -> None:
    assert of(numbers=other).digest != of().digest


def test_a_graph_gives_its_numbers_away_and_gets_them_back() -> None:
    whole = graph(of(), of(key="v", numbers=WEIGHT + 1))
    slim = without_data(whole)
    assert len(slim.to_json()) < 1000 and all(not p.data for p in slim.parameters)
    again = with_data(Graph.from_json(slim.to_json()), {p.digest: p.data for p in whole.parameters})
    assert [p.data for p in again.parameters] == [p.data for p in whole.parameters]
    with pytest.raises(ParameterError, match='the numbers of "w"'):
        with_data(slim, {})


def test_parameters_of_two_flows_keep_their_names_apart() -> None:
    other, third = of(numbers=WEIGHT + 1), of(numbers=WEIGHT + 2)
    found = merged([of()], [of(), other], [third, of("v.safetensors", "v")])
    assert [(p.file, p.key) for p in found] == [(FILE, "w"), ("w_2.safetensors", "w"), ("w_3.safetensors", "w"),
                                                ("v.safetensors", "v")]
    assert [p.digest for p in found] == [of().digest, other.digest, third.digest, of().digest]


def test_parameters_written_to_files_are_read_again(tmp_path: Path) -> None:
    parameters = (of(), of(key="v", numbers=WEIGHT + 1), of("layers.safetensors", "x", np.ones((4, 2, 1, 3), np.float32)))
    for file, data in files_of(parameters).items():
        (tmp_path / file).write_bytes(data)
    read = Parameters(tmp_path)
    assert tuple(read.find(p.file, p.key) for p in parameters) == parameters
    assert load((tmp_path / FILE).read_bytes())["v"].tolist() == (WEIGHT + 1).tolist()
    assert sum(math.prod(p.shape) for p in parameters) == 36
    assert files_of(parameters) == files_of(tuple(replace(p) for p in parameters))


@pytest.mark.parametrize("path", ["", "<flow>", "nowhere.py", "x" * 5000, "a\0b"])
def test_a_text_that_comes_from_no_file_has_no_folder(path: str) -> None:
    assert folder_of(path) is None


def test_the_folder_is_that_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("")
    assert folder_of(str(tmp_path / "flow.py")) == tmp_path
