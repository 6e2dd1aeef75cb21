"""What is timed at one point of the grid: the kernels of a step apart and together, beside what others offer."""
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernels_clock import Call, Times
from kernels_rivals import attend_forms, dense_forms, torch_topk, unfused
from kernels_scene import LAYER, Data, Scene

from vortex.budget import budget
from vortex.compiler.kernels.selection import launch_selection
from vortex.compiler.selection import fits, rules
from vortex.compiler.step_cost import kernel_bytes

OURS = "ours"
BUILT, TOGETHER, APART = "as built", "in one launch", "score, then select"
Row = dict[str, Any]


class Clock(Protocol):
    def compare(self, forms: Mapping[str, Sequence[Call]], outside: Sequence[str] = ()) -> dict[str, Times]: ...

    def bandwidth(self) -> float: ...


@dataclass(frozen=True)
class Case:
    """Forms of one part of a step. `ours` are the names of those that must run; `moved` is in bytes, 0 where it says little."""

    part: str
    forms: Mapping[str, Sequence[Call]]
    moved: int = 0
    flow: str | None = None
    ours: tuple[str, ...] = (OURS,)
    notes: Mapping[str, Any] = field(default_factory=dict)


def rows_of(case: Case, data: Data, clock: Clock, bandwidth: float) -> Iterator[Row]:
    found = clock.compare(case.forms, [name for name in case.forms if name not in case.ours])
    for name, times in found.items():
        told = times.told()
        rate = case.moved / times.median if case.moved and times.median else 0.0
        yield {"model": data.model.name, "batch": data.batch, "context": data.context, "flow": case.flow, "part": case.part,
               "form": name, **told, **({"bytes": case.moved, "gb_s": rate / 1e9, "of_copy": rate / bandwidth} if rate else {}),
               **case.notes}


def calls(data: Data, form: Callable[[int], object]) -> list[Call]:
    return [lambda at=at: form(at) for at in range(len(data.copies))]  # type: ignore[misc]


def dense_case(data: Data, scene: Scene, rivals: bool) -> Case:
    moved = kernel_bytes(None, data.point, scene.graph.geometry, data.model.kv_heads, data.batch, data.context)
    forms = {OURS: calls(data, lambda at: scene.attend(at, None)), **(dense_forms(data) if rivals else {})}
    return Case("dense attention", forms, moved["attend"])


def flow_cases(data: Data, name: str, dense: Scene, rivals: bool) -> Iterator[Case]:
    """The parts of a flow's step, then the whole of a layer beside dense attention. A row that fits has nothing to select."""
    scene = Scene(data, name)
    point = scene.program.point
    reserved = point.block_reserved_bos + point.block_reserved_eos
    if fits(rules(scene.graph), data.blocks, budget(data.blocks, point, LAYER), reserved):
        return
    moved = kernel_bytes(scene.graph, point, scene.graph.geometry, data.model.kv_heads, data.batch, data.context)
    yield Case("update", {OURS: calls(data, lambda at: scene.update(at, scene.worst))}, moved.get("update", 0) * point.block_size,
               name, notes={"completed": data.batch})
    yield Case("plan", {OURS: [scene.begin]}, 0, name)
    yield Case("score and select", {
        BUILT: calls(data, scene.select), TOGETHER: calls(data, scene.select_by(fused=True)),
        APART: calls(data, scene.select_by(fused=False)), **({"torch, op by op": unfused(scene)} if rivals else {})},
        moved.get("score", 0) + moved.get("select", 0), name, (BUILT, APART))
    scene.select(0)
    yield Case("select", {OURS: [lambda: selection(scene)], **({"torch.topk": torch_topk(scene)} if rivals else {})}, 0, name)
    yield Case("sparse attention", {OURS: calls(data, lambda at: scene.attend(at, scene.lists)),
                                    **(attend_forms(scene) if rivals else {})}, moved["attend"], name)
    yield Case("block", {OURS: calls(data, scene.block), "dense": calls(data, lambda at: dense.attend(at, None))}, 0, name,
               (OURS, "dense"))


def selection(scene: Scene) -> None:
    point = scene.program.point
    launch_selection(scene.work, rules(scene.graph), point.block_reserved_bos, point.block_reserved_eos)


def ragged_case(data: Data, name: str) -> Case:
    """A batch of uneven lengths: by the worklist, and as if every request were as long as the longest."""
    shortest = max(data.point.block_size, data.context // 16)
    lens = [shortest + (data.context - shortest) * at // max(1, data.batch - 1) for at in range(data.batch)]
    planned, padded = Scene(data, name, lens), Scene(data, name)
    forms = {"planned": calls(data, planned.block), "padded": calls(data, padded.block)}
    return Case("ragged batch", forms, 0, name, ("planned", "padded"), {"tokens": sum(lens)})
