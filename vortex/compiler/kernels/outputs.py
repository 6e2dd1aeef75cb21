"""Lists as other libraries want them, at fixed addresses and with no word to the host: safe to capture once run.

A row, a (request, kv head) pair, is a request of its own to such a library. Where it keeps all kv heads in one pool, it knows
block p of head h by another id: p * block_step + h * head_step. For a pool [P, H, ...] seen as [P * H, 1, ...] the steps are
(H, 1), for ours, [H, P, ...], they are (1, P); (1, 0) leaves ids as they are.
"""
from dataclasses import dataclass
from pathlib import Path

import torch

from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.outputs_kernels import blocks_of_pages, csr, padded
from vortex.compiler.kernels.workspace import Inputs, Worklist, WorkShape

PROGRAMS, TILE, WIDTH = 256, 1024, 256
KERNELS = Path(__file__).parent / "outputs_kernels.py"
Steps = tuple[int, int]                   # block_step, head_step


@dataclass(frozen=True, kw_only=True)
class CsrLists:
    """Of FlashInfer's paged decode: the pages of row r are indices[indptr[r]:indptr[r + 1]]."""

    indptr: torch.Tensor                  # int32 [R + 1]
    indices: torch.Tensor                 # int32 [R * L]
    last_page_len: torch.Tensor           # int32 [R]: tokens of the last page; 0 of an empty row


@dataclass(frozen=True, kw_only=True)
class PaddedLists:
    """Of decode kernels in TensorRT-LLM's manner: one line of page ids a row, 0 beyond its list."""

    pages: torch.Tensor                   # int32 [R, L]
    tokens: torch.Tensor                  # int32 [R]: of the listed blocks together, the last one's real ones counted


def make_csr(shape: WorkShape, device: torch.device) -> CsrLists:
    sizes = {"indptr": shape.rows + 1, "indices": max(1, shape.rows * shape.listed), "last_page_len": shape.rows}
    return CsrLists(**{name: torch.zeros(size, dtype=torch.int32, device=device) for name, size in sizes.items()})


def make_padded(shape: WorkShape, device: torch.device) -> PaddedLists:
    return PaddedLists(pages=torch.zeros(shape.rows, shape.listed, dtype=torch.int32, device=device),
                       tokens=torch.zeros(shape.rows, dtype=torch.int32, device=device))


def _grid(shape: WorkShape) -> tuple[int, int]:
    return shape.rows, max(1, min(PROGRAMS // shape.rows, -(-shape.listed // WIDTH)))


def write_csr(inputs: Inputs, worklist: Worklist, block_size: int, out: CsrLists, steps: Steps = (1, 0)) -> None:
    shape = worklist.shape
    csr[_grid(shape)](inputs.lens, inputs.tables, worklist.counts, worklist.index, out.indptr, out.indices, out.last_page_len,
                      shape.rows, shape.blocks, shape.listed, *steps, **_constants(shape, block_size), TILE=TILE)


def write_padded(inputs: Inputs, worklist: Worklist, block_size: int, out: PaddedLists, steps: Steps = (1, 0)) -> None:
    shape = worklist.shape
    padded[_grid(shape)](inputs.lens, inputs.tables, worklist.counts, worklist.index, out.pages, out.tokens,
                         shape.rows, shape.blocks, shape.listed, *steps, **_constants(shape, block_size))


def _constants(shape: WorkShape, block_size: int) -> dict[str, int]:
    return {"HEADS": shape.heads, "BLOCK": block_size, "WIDTH": WIDTH}


def block_tables(page_tables: torch.Tensor, per_page: int, tables: torch.Tensor) -> None:
    """Writes block ids, `tables` int32 [B, N], from page ids int32 [B, columns] of pages that hold `per_page` blocks.

    Block ids count the blocks of the pool, page by page: id = page * per_page + place in the page.
    """
    requests, columns = page_tables.shape
    blocks = tables.shape[1]
    blocks_of_pages[(requests, -(-blocks // WIDTH))](page_tables, tables, columns, blocks, PER_PAGE=per_page, WIDTH=WIDTH)


def output_kernels(shape: WorkShape, block_size: int, per_page: int = 1) -> tuple[Kernel, ...]:
    """What the functions above launch, to be built beforehand."""
    read = dict.fromkeys(("lens", "tables", "counts", "index"), "*i32")
    sizes = dict.fromkeys(("ROWS", "N", "L", "block_step", "head_step"), "i32")
    both = _constants(shape, block_size)
    return (_kernel("csr", {**read, "indptr": "*i32", "indices": "*i32", "last": "*i32", **sizes}, {**both, "TILE": TILE}),
            _kernel("padded", {**read, "pages": "*i32", "tokens": "*i32", **sizes}, both),
            _kernel("blocks_of_pages", {"pages": "*i32", "tables": "*i32", "COLUMNS": "i32", "N": "i32"},
                    {"PER_PAGE": per_page, "WIDTH": WIDTH}))


def _kernel(entry: str, signature: dict[str, str], constants: dict[str, int]) -> Kernel:
    return Kernel(name=f"outputs.{entry}", source=KERNELS.read_text(), entry=entry, signature=signature, constants=constants,
                  aligned=tuple(name for name, type_ in signature.items() if type_.startswith("*")), stages=3)
