"""Sizes at which the corpus meets the oracle: a covering of all pairs for tests, the full grid for the benchmark."""
import itertools
from dataclasses import dataclass

from tests.compiler.duel import Duel
from tests.compiler.random_upstream import Writer
from tests.oracle.corpus import Entry
from tests.oracle.package import execute
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

GROUPS = (1, 2, 4, 5, 7, 8, 16)
BLOCKS = (16, 32, 64)
PAGES = (1, 2, 4)
RESERVED = ((1, 2), (2, 1), (1, 1))


@dataclass(frozen=True)
class Cell:
    """Query heads a group, tokens a block, blocks a page."""

    group: int
    block: int
    blocks_per_page: int

    def __str__(self) -> str:
        return f"{self.group}-{self.block}-{self.blocks_per_page}"


FULL = [Cell(*sizes) for sizes in itertools.product(GROUPS, BLOCKS, PAGES)]
CELLS = [Cell(group, block, PAGES[(i + j) % 3]) for i, group in enumerate(GROUPS) for j, block in enumerate(BLOCKS)]


def cell_of(index: int) -> Cell:
    """A cell of the covering for the index-th flow."""
    return CELLS[index * 5 % len(CELLS)]


def geometry_of(entry: Entry, cell: Cell) -> Geometry:
    block = 1 if entry.by_token else cell.block
    if entry.latent:
        return Geometry.of_latent(block, group=cell.group)
    return Geometry(block_size=block, head_dim=32, group=cell.group)


def lens_of(block: int, budget: int) -> list[int]:
    """Below the budget; at it, the last block about to close; one token above; well above; a full last block."""
    return [2 * block - 1, budget * block - 1, budget * block + 1, 12 * block - 2, 9 * block]


def duel_of(entry: Entry, cell: Cell, lens: list[int] | None = None, **changes: object) -> Duel:
    geometry = geometry_of(entry, cell)
    bos, eos = RESERVED[cell.group % 3]
    settings: dict[str, object] = {"topk_val": 2, "topk_ratio": 0.0, "block_reserved_bos": bos, "block_reserved_eos": eos}
    point = OperatingPoint.model_validate({"block_size": geometry.block_size, **settings, **changes})
    graph = load(entry.text, str(entry.path), geometry, entry.name)
    budget = point.topk_val + point.block_reserved_bos + point.block_reserved_eos
    return Duel(graph, entry.flow(), point, lens or lens_of(geometry.block_size, budget), heads=1 if entry.latent else 2,
                blocks_per_page=cell.blocks_per_page, seed=cell.group)


def random_duel(seed: int) -> Duel:
    """A random flow at sizes of the covering."""
    cell, channels = CELLS[seed % len(CELLS)], (16, 32)[seed % 2]
    text = Writer(seed, cell.group, cell.block, channels).text()
    graph = load(text, f"random {seed}", Geometry(cell.block, channels, cell.group))
    point = OperatingPoint(block_size=cell.block, topk_val=2, topk_ratio=0.0)
    return Duel(graph, execute(text, f"random {seed}")["random"](), point, lens_of(cell.block, 5),
                blocks_per_page=cell.blocks_per_page, seed=seed)
