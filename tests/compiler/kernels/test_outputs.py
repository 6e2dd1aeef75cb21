"""Lists for other libraries against plain torch, over ragged rows, empty ones and poisoned memory."""
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.modules import module_of
from vortex.compiler.kernels.outputs import block_tables, make_csr, make_padded, output_kernels, write_csr, write_padded
from vortex.compiler.kernels.workspace import Inputs, Worklist, WorkShape, make_inputs, make_worklist

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
POISON = 0x7F7F7F7F
SIZE = 4
SHAPES = st.tuples(st.lists(st.integers(0, 90), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 2**30))


def step_of(lens: list[int], heads: int, seed: int) -> tuple[Inputs, Worklist]:
    """A step whose lists are drawn at random: ascending, the last block last; beyond them lies poison."""
    draw = torch.Generator().manual_seed(seed)
    most = max(1, -(-max(lens) // SIZE))
    shape = WorkShape(requests=len(lens), heads=heads, blocks=most + 3, listed=most, rules=1, chunk=8)
    inputs, worklist = make_inputs(shape, DEVICE), make_worklist(shape, DEVICE)
    inputs.tables.copy_(torch.randint(0, 10**6, inputs.tables.shape, generator=draw))
    inputs.lens.copy_(torch.tensor(lens))
    worklist.index.fill_(POISON)
    for row in range(shape.rows):
        n = -(-lens[row // heads] // SIZE)
        listed = [block for block in range(n) if block == n - 1 or torch.rand((), generator=draw) < 0.6]
        worklist.counts[row] = len(listed)
        worklist.index[row, :len(listed)] = torch.tensor(listed, dtype=torch.int32)
    return inputs, worklist


def ids_of(inputs: Inputs, worklist: Worklist, row: int, block_step: int, head_step: int) -> list[int]:
    request, head = divmod(row, worklist.shape.heads)
    places = worklist.index[row, :int(worklist.counts[row])].long()
    return (inputs.tables[request, places] * block_step + head * head_step).tolist()


def last_of(length: int) -> int:
    return (length - 1) % SIZE + 1 if length else 0


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.sampled_from([(1, 0), (3, 1), (1, 700)]))
def test_csr_lists_are_what_plain_torch_says(drawn: tuple[list[int], int, int], steps: tuple[int, int]) -> None:
    inputs, worklist = step_of(*drawn)
    out = make_csr(worklist.shape, DEVICE)
    for field in fields(out):
        getattr(out, field.name).fill_(POISON)
    write_csr(inputs, worklist, SIZE, out, steps)
    rows = [ids_of(inputs, worklist, row, *steps) for row in range(worklist.shape.rows)]
    flat = [page for row in rows for page in row]
    assert out.indptr.tolist() == [sum(map(len, rows[:row])) for row in range(len(rows) + 1)]
    assert out.indices.tolist() == flat + [POISON] * (out.indices.numel() - len(flat))
    assert out.last_page_len.tolist() == [last_of(length) for length in drawn[0] for _ in range(drawn[1])]


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.sampled_from([(1, 0), (3, 1), (1, 700)]))
def test_padded_lists_are_what_plain_torch_says(drawn: tuple[list[int], int, int], steps: tuple[int, int]) -> None:
    inputs, worklist = step_of(*drawn)
    out = make_padded(worklist.shape, DEVICE)
    for field in fields(out):
        getattr(out, field.name).fill_(POISON)
    write_padded(inputs, worklist, SIZE, out, steps)
    for row in range(worklist.shape.rows):
        ids, length = ids_of(inputs, worklist, row, *steps), drawn[0][row // drawn[1]]
        assert out.pages[row].tolist() == ids + [0] * (worklist.shape.listed - len(ids))
        assert int(out.tokens[row]) == max(0, len(ids) - 1) * SIZE + last_of(length)


def test_long_lists_and_many_rows() -> None:
    """More entries than one program writes at once, more rows than one counts at once."""
    inputs, worklist = step_of([9000, 3], 1, 0)
    out = make_csr(worklist.shape, DEVICE)
    write_csr(inputs, worklist, SIZE, out)
    total = int(worklist.counts.sum())
    assert out.indices[:total].tolist() == [page for row in range(2) for page in ids_of(inputs, worklist, row, 1, 0)]
    inputs, worklist = step_of([5, 0, 9] * 350, 1, 1)
    out = make_csr(worklist.shape, DEVICE)
    write_csr(inputs, worklist, SIZE, out)
    assert out.indptr[1:].equal(worklist.counts.cumsum(0).int()) and not int(out.indptr[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.sampled_from([1, 2, 4, 16]), st.integers(-3, 300), st.integers(0, 2**30))
def test_block_ids_come_from_pages(requests: int, columns: int, per_page: int, more: int, seed: int) -> None:
    pages = torch.randint(0, 10**6, (requests, columns), dtype=torch.int32, generator=torch.Generator().manual_seed(seed))
    blocks = max(1, columns * per_page + more)
    tables = torch.full((requests, blocks), POISON, dtype=torch.int32, device=DEVICE)
    block_tables(pages.to(DEVICE), per_page, tables)
    right = torch.zeros(requests, blocks, dtype=torch.int32)
    known = (pages[:, :, None] * per_page + torch.arange(per_page, dtype=torch.int32)).flatten(1)[:, :blocks]
    right[:, :known.shape[1]] = known
    assert tables.cpu().equal(right)


KERNELS = output_kernels(WorkShape(requests=2, heads=2, blocks=9, listed=5, rules=1, chunk=4), SIZE, per_page=4)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_are_told_as_they_are_launched(kernel: Kernel) -> None:
    entry = getattr(module_of(kernel.source), kernel.entry)
    assert {*kernel.signature, *kernel.constants} == set(entry.arg_names)
    assert list(kernel.signature) == [name for name in entry.arg_names if name in kernel.signature]
