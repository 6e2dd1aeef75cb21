"""Inputs from an engine's slots against plain torch, over padded rows, pages of any size and poisoned memory."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.compiler.kernels.build import build_all
from vortex.compiler.kernels.inputs import WIDTH, input_kernels, write_done, write_inputs
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.workspace import WorkShape, make_inputs

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
POISON = 0x7F7F7F7F


def check(lens: list[int], size: int, columns: int, seed: int, padding: int = 1, fill: int = 1) -> None:
    """Requests of `lens` tokens in blocks of `size`, and rows of padding in an engine's table of ten rows."""
    draw, rows = torch.Generator().manual_seed(seed), len(lens) + padding
    blocks = torch.randint(1, 1 << 20, (10, columns), generator=draw)
    table = (blocks[:, :, None] * size + torch.arange(size)).flatten(1).to(torch.int32)
    requests = torch.cat([torch.randperm(9, generator=draw)[:len(lens)] + 1, torch.zeros(padding, dtype=torch.int64)])
    told = torch.tensor(lens + [fill] * padding)
    slots = torch.zeros(rows, dtype=torch.int64)
    for row, length in enumerate(lens):
        slots[row] = table[requests[row], length - 1]
        table[requests[row], -(-length // size) * size:] = POISON
    inputs = make_inputs(WorkShape(requests=rows, heads=1, blocks=columns, listed=0, rules=0, chunk=1), DEVICE)
    done = torch.full((rows,), POISON, dtype=torch.int64, device=DEVICE)
    for tensor in (inputs.lens, inputs.tables, inputs.seeds):
        tensor.fill_(POISON)
    write_inputs(told.to(DEVICE), requests.to(DEVICE), slots.to(DEVICE), table.to(DEVICE), inputs, done, size)
    right = torch.zeros(rows, columns, dtype=torch.int32)
    for row, length in enumerate(lens):
        n = -(-length // size)
        right[row, :n] = blocks[requests[row], :n].int()
    last = [int(blocks[requests[row], length // size - 1]) if length % size == 0 else -1 for row, length in enumerate(lens)]
    assert inputs.lens.tolist() == lens + [0] * padding
    assert inputs.tables.cpu().equal(right)
    assert done.tolist() == last + [-1] * padding
    assert (inputs.seeds == POISON).all()
    done.fill_(POISON)
    write_done(slots.to(DEVICE), done, size)
    assert done.tolist() == last + [-1] * padding


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 96), min_size=1, max_size=5), st.sampled_from([4, 16, 32]), st.integers(0, 3),
       st.sampled_from([0, 1]), st.integers(0, 2**30))
def test_inputs_are_what_plain_torch_says(lens: list[int], size: int, padding: int, fill: int, seed: int) -> None:
    check(lens, size, -(-96 // size) + seed % 3, seed, padding, fill)


def test_tables_longer_than_a_program_writes() -> None:
    check([4 * WIDTH + 7, 9, 4 * WIDTH], 4, 2 * WIDTH + 9, seed=1)


KERNELS = input_kernels(16)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_are_told_as_they_are_launched(kernel: Kernel) -> None:
    entry = getattr(module_of(kernel.source), kernel.entry)
    assert {*kernel.signature, *kernel.constants} == set(entry.arg_names)
    assert list(kernel.signature) == [name for name in entry.arg_names if name in kernel.signature]


@pytest.mark.usefixtures("own_cache")
def test_kernels_become_machine_code() -> None:
    facts = build_all([(kernel, target) for kernel in KERNELS for target in ("sm_90", "sm_100")])
    assert len(facts) == 4
    for built in facts.values():
        assert not built.failed and not built.spills, built
