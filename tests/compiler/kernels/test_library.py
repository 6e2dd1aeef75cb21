"""The machine code of every built-in flow, built ahead of time for two chips at production's shapes and alignments.

Kernels that flows share are built once; what an earlier run built is known from its cache.
"""
import re

import pytest

from vortex.compiler.front import load
from vortex.compiler.kernels.build import build_all
from vortex.compiler.kernels.catalogue import kernels_for
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import Built
from vortex.config import OperatingPoint
from vortex.flows import CALIBRATED, LATENT, names, read, settings
from vortex.ir import Geometry

TARGETS = ("sm_90", "sm_100")
POINT = OperatingPoint(topk_val=29, topk_ratio=0.0, dtype="bfloat16")
WIDEST = 16                               # bytes a thread can read at once
MOVES = re.compile(r"[kv]|field_\d+")     # arguments that are pools
APART = {("double-sparsity", "update"),    # gathers channels, one number at a time
         ("h2o", "update"),               # reads nothing: state begins at a number
         ("loki", "update")}              # 8 bytes are all that a thread has to read of a block


def geometry_of(name: str) -> Geometry:
    if name in LATENT:
        return Geometry.of_latent(group=20)
    return Geometry(16, 64 if name in CALIBRATED else 128, 2 if name in CALIBRATED else 4)


def kernels_of(name: str, target: str) -> tuple[Kernel, ...]:
    _, text, path = read(name)
    graph = load(text, path, geometry_of(name))
    return kernels_for(graph, POINT.with_(**settings(path)), target, heads=2 if name in CALIBRATED else 8)


@pytest.fixture(scope="module")
def library() -> dict[tuple[str, str], list[tuple[Kernel, Built]]]:
    """Kernels by flow and chip, with the facts of their machine code."""
    found = {(name, target): kernels_of(name, target) for name in names() for target in TARGETS}
    facts = build_all([(kernel, target) for (_, target), kernels in found.items() for kernel in kernels], processes=2)
    return {key: [(kernel, facts[kernel.digest, key[1]]) for kernel in kernels] for key, kernels in found.items()}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", names())
def test_a_flow_is_built_without_spills_within_shared_memory(
        library: dict[tuple[str, str], list[tuple[Kernel, Built]]], name: str, target: str) -> None:
    built = library[name, target]
    assert built
    for kernel, facts in built:
        assert facts.code == "", (kernel.name, facts.code, facts.spills, facts.shared, facts.message)
        assert facts.registers and facts.instructions, kernel.name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", names())
def test_pools_are_read_in_whole_vectors(
        library: dict[tuple[str, str], list[tuple[Kernel, Built]]], name: str, target: str) -> None:
    for kernel, facts in library[name, target]:
        if any(map(MOVES.fullmatch, kernel.signature)):
            assert (WIDEST in facts.loads) != ((name, kernel.name) in APART), (kernel.name, facts.loads)


def test_flows_share_the_kernels_that_are_not_their_own() -> None:
    every = [kernel.digest for name in names() for kernel in kernels_of(name, "sm_90")]
    assert len(set(every)) < len(every) / 2
