"""A static step never waits for the host: it runs where values cannot be read, and brings none to the device.

Tensors of the device `meta` have shapes alone; kernels are told to do nothing. What asks for a value, makes a shape of one
or copies from the host would also break the capture of a CUDA graph.
"""
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime import interpreter

from tests.compiler.world import built_in
from tests.serving.asks import SPARSE
from vortex.compiler.cpu import dense_graph
from vortex.compiler.kernels.program import TritonProgram
from vortex.compiler.shapes import ModelSizes
from vortex.config import OperatingPoint
from vortex.flows import ALGORITHMS, CALIBRATED, CONTROLS, read, settings
from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.graphed import WARM_UPS, Answer, Work
from vortex.serving.embedded.pool import Furnishing, Pool, PoolShape
from vortex.serving.embedded.random_model import random_model
from vortex.serving.embedded.steps import StaticModel, StaticSteps
from vortex.serving.layers import Layers

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the GPU, where graphs are captured")
NOWHERE = torch.device("meta")
SIZES = ModelSizes(name="tiny", layers=4, hidden=24, intermediate=40, heads=4, kv_heads=2, head_dim=64, vocabulary=90)
POINTS = {
    "plain": SPARSE, "bf16": SPARSE.with_(dtype="bfloat16"),
    "tables": SPARSE.with_(topk_layers=((1, 40), 3, (6, 2)), ratio_layers=(0.0, (0.25, 0.5), 0.0)),
    "policy": SPARSE.with_(schedule_policy="cached_block_len > 64 ? 32 : cached_block_len / 2"),
}
LAYERS = Layers(select=frozenset({0, 1, 3}), reuse=frozenset({2}))


class Watch(TorchDispatchMode):
    """Refuses operations on tensors of the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs, found)) if isinstance(leaf, torch.Tensor)]
        assert all(tensor.device == NOWHERE for tensor in tensors), f"{func} touches the host"
        return found


class Calls(TorchFunctionMode):
    """Refuses tensors made of Python's numbers, lists as indices among them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        index = func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and any(
            isinstance(part, list) for part in (args[1] if isinstance(args[1], tuple) else args[1:2]))
        assert func not in (torch.tensor, torch.as_tensor, torch.from_numpy) and not index, f"{func} touches the host"
        return func(*args, **(kwargs or {}))


class Watched:
    """Captures as CUDA graphs do: everything that is made once is made in the warm-up."""

    launches = 0

    def capture(self, work: Work) -> Work:
        for _ in range(WARM_UPS):
            work()

        def replay() -> Answer:
            self.launches = 0
            with Watch(), Calls():
                return work()

        replay()
        return replay


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    found = Watched()

    def launch(self: Any, *args: object, **_: object) -> None:
        found.launches += 1
        assert all(arg.device == NOWHERE for arg in args if isinstance(arg, torch.Tensor))

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", launch)
    yield found


def steps_of(flow: str | None, point: OperatingPoint, graphs: Watched, below: int = 0) -> StaticSteps:
    graph = built_in(flow, SIZES.geometry(16)) if flow else dense_graph(SIZES.geometry(16))
    layers = LAYERS if flow else Layers()
    program = TritonProgram(graph, point, "meta")
    pool = Pool(PoolShape(layers=SIZES.layers, kv_heads=SIZES.kv_heads, blocks=99, block_size=16, head_dim=SIZES.head_dim,
                          dtype=torch.bfloat16, device=NOWHERE))
    pool.furnish(Furnishing(graph=graph, point=point, layers=layers.select,
                            dtypes={f.name: program.field_dtype(f.name) for f in graph.fields}))
    model, _ = random_model(SIZES, NOWHERE)
    what = StaticModel(model=model, pool=pool, program=program, layers=layers, blocks=64, dense_below=below)
    return StaticSteps(what, graphs, most=4)


@pytest.mark.parametrize(("flow", "name"), [
    *((flow, "plain") for flow in (None, *ALGORITHMS, *CALIBRATED, *CONTROLS)), *(("quest", name) for name in POINTS),
    *(("running-average", name) for name in POINTS), ("twilight", "tables")])
def test_a_step_asks_for_no_value_and_brings_none(graphs: Watched, flow: str | None, name: str) -> None:
    point = POINTS[name].with_(**settings(read(flow)[2]) if flow else {}).with_(renew_every=1)
    steps = steps_of(flow, point, graphs)
    batch = Batch(["a", "b", "c"], [1, 2, 3], [[1, 2, 3], [4, 5], [6]], [1, 1, 1], NOWHERE)
    with torch.inference_mode():
        found = steps.decode(batch, [5, 6, 7], [40, 32, 16])
    assert found.logits.shape == (3, SIZES.vocabulary) and found.tokens.shape == (3,)
    assert graphs.launches >= SIZES.layers


def test_a_dense_step_of_a_flow_launches_summaries_and_no_selection(graphs: Watched) -> None:
    counts = []
    for below in (0, 1000):
        steps_of("quest", SPARSE, graphs, below).warm([40] * 4)
        counts.append(graphs.launches)
    # Of three layers that select: scores and lists; the planner has no part in a step that is dense from the start.
    assert counts[0] - counts[1] >= 3


@pytest.mark.parametrize("touch", [
    lambda x: torch.tensor([1.0], device=NOWHERE), lambda x: x[[0, 1]], lambda x: x[:, [0]], lambda x: x + torch.ones(1),
    lambda x: x[0, 0].item(), lambda x: x[x > 0], lambda x: x.tolist(), lambda x: bool(x.any()), lambda x: x.nonzero()])
def test_the_watch_sees_what_touches_the_host(touch: Callable[[torch.Tensor], object]) -> None:
    number = torch.zeros(2, 2, device=NOWHERE)
    with Watch(), Calls():
        number.add_(1).mul_(number[0])
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
            touch(number)
