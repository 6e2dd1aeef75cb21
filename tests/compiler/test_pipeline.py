"""From a flow to its kernels' machine code, and from a kernel's facts to a verdict that can be acted on."""
from dataclasses import replace

import pytest

from tests.compiler.kernels import built_kernels as made
from vortex import flows
from vortex.compiler import pipeline
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load_usual
from vortex.compiler.kernels.machine_code import Built
from vortex.compiler.kernels.report import CHIP_OF, KernelReport, Report
from vortex.config import OperatingPoint
from vortex.errors import CompileError, EngineError, MissingExtra
from vortex.ir import Graph

pytestmark = pytest.mark.usefixtures("own_cache")
POINT = OperatingPoint(dtype="bfloat16")
GOOD = Built(target="sm_90", registers=40, shared=1024, instructions=100)


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load_usual(text, path)


def report(*facts: Built) -> Report:
    kernels = (made.score, made.large, made.spilling)
    return Report(target="sm_90", kernels=tuple(KernelReport(kernel=kernel, built=built)
                                                for kernel, built in zip(kernels, facts, strict=False)))


def test_a_flow_is_built_once_and_told_of_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    found, = pipeline.reports(graph("centroid"), POINT, ["sm_90"], processes=2)
    assert (found.code, found.refusal) == ("", None)
    names = [one.kernel.name for one in found.kernels]
    assert {"update", "plan", "score"} <= set(names)
    assert all(one.built.registers and one.built.instructions for one in found.kernels)
    monkeypatch.setattr(pipeline.build_all.__globals__["child"], "run", lambda *_, **__: pytest.fail("built again"))
    assert pipeline.reports(graph("centroid"), POINT, ["sm_90"]) == (found,)


def test_a_program_is_made_for_a_device() -> None:
    assert isinstance(pipeline.compile(graph("quest"), POINT), CpuProgram)
    with pytest.raises(EngineError, match="no Program runs on 'tpu'"):
        pipeline.compile(graph("quest"), POINT, "tpu")


LONG = """
from vortex import ops, register, vFlow

@register("long")
class Long(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        x = q.mean(dim=1) @ cache["c"].T
        for i in range({}):
            x = (x * 1.01 + i).abs()
        return ops.topk(x)
"""


def test_no_flow_is_blamed_for_the_kernel_that_attends() -> None:
    spilling = replace(GOOD, spill_stores=8, spill_loads=8)
    attend = KernelReport(kernel=replace(made.score, name="attention.sparse.direct"), built=spilling)
    found = Report(target="sm_90", kernels=(attend,))
    assert found.refusal is not None and "no flow changes it" in found.refusal.hint


def test_hundreds_of_ops_in_a_row_are_one_kernel_and_thousands_are_refused() -> None:
    kernels = pipeline.kernels_of(load_usual(LONG.format(300), "long.py"), POINT, "sm_90")
    assert "tl.abs" in next(kernel.source for kernel in kernels if kernel.name == "score")
    with pytest.raises(CompileError, match="more than 1,000 ops") as refusal:
        pipeline.kernels_of(load_usual(LONG.format(1000), "long.py"), POINT, "sm_90")
    assert refusal.value.hint


@pytest.mark.parametrize("name", ["quest", "mla-centroid", "h2o"])
def test_every_kernel_of_a_flow_has_a_name_of_its_own(name: str) -> None:
    names = [kernel.name for kernel in pipeline.kernels_of(graph(name), POINT, "sm_90")]
    assert len(set(names)) == len(names)


def test_without_triton_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "find_spec", lambda name: None)
    quest = graph("quest")
    for asked in (lambda: pipeline.compile(quest, POINT, "cuda"), lambda: pipeline.reports(quest, POINT, ["sm_90"])):
        with pytest.raises(MissingExtra) as refusal:
            asked()
        assert refusal.value.hint == "pip install 'vortex-platform[compile]'"


def test_fp8_fields_are_refused_below_sm_89() -> None:
    with pytest.raises(CompileError, match="fp8") as refusal:
        pipeline.reports(graph("relu-indexer"), POINT, ["sm_80"])
    assert refusal.value.op and "sm_90" in refusal.value.hint


@pytest.mark.parametrize(("facts", "code", "said"), [
    ((GOOD, GOOD), "", None),
    ((GOOD, replace(GOOD, spill_stores=8, spill_loads=4)), "spills",
     "kernel large.product (matmul) does not fit into the registers of sm_90: a thread keeps 8 bytes in memory"),
    ((replace(GOOD, spill_stores=8), replace(GOOD, shared=262_144)), "shared-memory",
     "kernel large.product (matmul) wants 262,144 bytes of shared memory, and sm_90 gives a block of threads 232,448"),
    ((replace(GOOD, failed="timeout", seconds=60.0), replace(GOOD, shared=262_144)), "timeout",
     "kernel good.score (mul, sum) is not built for sm_90 within 60 s"),
    ((replace(GOOD, failed="timeout"), replace(GOOD, failed="error", message="at 2:44")), "error",
     "kernel large.product (matmul) cannot be built for sm_90: at 2:44"),
])
def test_the_gravest_fault_is_the_verdict(facts: tuple[Built, ...], code: str, said: str | None) -> None:
    found = report(*facts)
    assert found.code == code
    assert (found.refusal and found.refusal.message) == said
    assert found.refusal is None or found.refusal.hint
    assert [one["code"] for one in found.to_json()["kernels"]] == [one.code for one in facts]


def test_a_verdict_names_the_op_where_it_is_one() -> None:
    several, one = report(replace(GOOD, failed="error")).refusal, report(GOOD, replace(GOOD, spill_stores=4)).refusal
    assert several is not None and several.op == ""
    assert one is not None and one.op == "matmul"


def test_time_is_bytes_over_bandwidth() -> None:
    told, silent = report(GOOD, GOOD).kernels
    assert told.time_us == pytest.approx((16 << 20) / 4.8e12 * 1e6)
    assert silent.time_us is None
    assert all(chip.arch == target for target, chip in CHIP_OF.items())
