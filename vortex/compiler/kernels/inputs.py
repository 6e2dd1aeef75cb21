"""A step's inputs from the tensors of an engine that keeps tokens in slots: safe to capture.

A page's slots lie side by side, so that slot // block size is a block's id in all of the pool, whatever pages hold. Rows that
an engine pads a batch with write to slot 0, which is in no request's page: they are not there.
"""
from pathlib import Path

import torch

from vortex.compiler.kernels.inputs_kernels import note_done, seat
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.workspace import Inputs

WIDTH = 1024                              # columns of a table that a program writes
KERNELS = Path(__file__).parent / "inputs_kernels.py"


def write_inputs(lens: torch.Tensor, requests: torch.Tensor, slots: torch.Tensor, table: torch.Tensor,
                 inputs: Inputs, done: torch.Tensor, block_size: int) -> None:
    """Writes `inputs` but for the seeds, and `done` int64 [B]: the block that a step's token completes, else -1.

    Of each row int64 [B]: tokens with the one being decoded counted, row of `table`, where this step's token goes. `table`
    int32 [requests of the engine, tokens]: slots by position.
    """
    columns = inputs.tables.shape[1]
    seat[(done.shape[0], -(-columns // WIDTH))](lens, requests, slots, table, inputs.lens, inputs.tables, done, columns,
                                               table.stride(0), SIZE=block_size, WIDTH=WIDTH)


def write_done(slots: torch.Tensor, done: torch.Tensor, block_size: int) -> None:
    """Writes `done` alone."""
    note_done[(done.shape[0],)](slots, done, SIZE=block_size)


def input_kernels(block_size: int) -> tuple[Kernel, ...]:
    """What the functions above launch, to be built beforehand."""
    told = {**dict.fromkeys(("lens", "requests", "slots"), "*i64"), **dict.fromkeys(("table", "out_lens", "out_tables"), "*i32")}
    return (_kernel("seat", {**told, "done": "*i64", "N": "i32", "stride": "i64"}, {"SIZE": block_size, "WIDTH": WIDTH}),
            _kernel("note_done", {"slots": "*i64", "done": "*i64"}, {"SIZE": block_size}))


def _kernel(entry: str, signature: dict[str, str], constants: dict[str, int]) -> Kernel:
    return Kernel(name=f"inputs.{entry}", source=KERNELS.read_text(), entry=entry, signature=signature, constants=constants,
                  aligned=tuple(name for name, type_ in signature.items() if type_.startswith("*")), stages=3)
