"""Flows in the upstream's spelling select and attend what an oracle in NumPy loops says, which shares no code with us."""
import pytest

from tests.compiler.duel import Duel
from tests.compiler.grid import CELLS, Cell, cell_of, duel_of, lens_of, random_duel
from tests.oracle.corpus import ENTRIES, REFERENCE, Entry
from tests.oracle.package import execute
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry
from vortex.language.source_upstream import to_upstream

STATEFUL = [entry for entry in ENTRIES if entry.keeps_state]


def test_the_corpus_holds_the_reference_flows_and_forty_more() -> None:
    names = {entry.name for entry in ENTRIES}
    assert names >= REFERENCE and len(names - REFERENCE) >= 40 and len(names) == len(ENTRIES)


def test_the_cells_cover_every_pair_of_sizes() -> None:
    for one in ("group", "block", "blocks_per_page"):
        for two in ("group", "block", "blocks_per_page"):
            whole = {(getattr(a, one), getattr(b, two)) for a in CELLS for b in CELLS}
            assert one == two or {(getattr(c, one), getattr(c, two)) for c in CELLS} == whole


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_flow_at_sizes_of_its_own(entry: Entry) -> None:
    """Lengths below, at and above the budget, an open last block, steps in which blocks are completed."""
    duel = duel_of(entry, cell_of(ENTRIES.index(entry)))
    fit = sum(length <= 3 * duel.point.block_size for length in duel.lens)
    for _ in range(3):
        duel.step()
        duel.grow()
    assert duel.selected and fit


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("name", ["gqa_quest_sparse_attention", "running_avg_block_sparse"])
def test_every_size_with_an_envelope_and_with_state(name: str, cell: Cell) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    duel = duel_of(entry, cell)
    for _ in range(3):
        duel.step()
        duel.grow()


@pytest.mark.parametrize("entry", STATEFUL, ids=lambda entry: entry.name)
def test_state_over_many_steps(entry: Entry) -> None:
    """Rows begin to be scored on the way, blocks leave the last ones and join the scored ones with their first value."""
    duel = duel_of(entry, Cell(2, 16, 2), lens=[4, 6, 12, 30] if entry.by_token else [78, 79, 118, 207])
    for _ in range(36 if not entry.latent else 20):
        duel.step()
        duel.grow()
    assert duel.compared


@pytest.mark.parametrize("name", ["gqa_quest_sparse_attention", "agent_state_from_summary_cls", "running_avg_block_sparse"])
def test_fields_and_state_are_rounded_to_the_points_dtype(name: str) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    duel = duel_of(entry, Cell(4, 16, 1), dtype="bfloat16")
    for _ in range(5):
        duel.step()
        duel.grow()


@pytest.mark.parametrize("changes", [
    {"topk_val": 0, "topk_ratio": 0.0}, {"topk_val": 1, "topk_ratio": 0.5}, {"topk_val": 0, "topk_ratio": 1.0},
    {"block_reserved_bos": 0, "block_reserved_eos": 1}, {"block_reserved_bos": 3, "block_reserved_eos": 4},
])
@pytest.mark.parametrize("name", ["gqa_block_sparse_attention", "agent_two_states_cls", "agent_union_with_state_cls"])
def test_budgets_and_reserved_blocks(name: str, changes: dict[str, object]) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    duel = duel_of(entry, Cell(2, 16, 1), **changes)
    for _ in range(3):
        duel.step()
        duel.grow()


def test_a_budget_of_each_head() -> None:
    entry = next(entry for entry in ENTRIES if entry.name == "running_avg_block_sparse")
    duel = duel_of(entry, Cell(2, 16, 1), topk_layers=(7, (1, 6)))
    duel.engine.budget = lambda blocks, head: (1, 6)[head] + duel.engine.setting.bos + duel.engine.setting.eos
    for _ in range(4):
        duel.step()
        duel.grow()


@pytest.mark.parametrize("name", ["gqa_block_sparse_attention", "agent_save_of_shares_cls"])
def test_a_policy_below_the_static_budget_still_has_scores(name: str) -> None:
    """Whether a row fits is asked of its own budget, not of topk_val."""
    entry = next(entry for entry in ENTRIES if entry.name == name)
    policy = "int few = block_reserved_bos + block_reserved_eos + 1; return cached_block_len > 10 ? few + 1 : few;"
    duel = duel_of(entry, Cell(2, 16, 1), topk_val=7, schedule_policy=policy)
    duel.engine.budget = lambda blocks, head: duel.engine.setting.bos + duel.engine.setting.eos + 1 + (blocks > 10)
    for _ in range(3):
        duel.step()
        duel.grow()


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_random_flows(start: int) -> None:
    for seed in range(start, start + 10):
        duel = random_duel(seed)
        for _ in range(3):
            duel.step()
            duel.grow()
        assert duel.selected, seed


@pytest.mark.parametrize("name", ["quest", "gqa-centroid", "lserve", "centered-centroid", "running-average", "value-energy",
                                  "mla-weighted", "arkvale"])
def test_a_built_in_flow_written_in_the_upstreams_words(name: str) -> None:
    """The text that bundles carry computes, in the oracle's hands, what our Program computes."""
    _, text, path = flows.read(name)
    graph = load(text, str(path), Geometry(32, 32, 5))
    upstream = execute(to_upstream(graph, name="written", doc="Written."), name)["written"]
    point = OperatingPoint(block_size=32, topk_val=2, topk_ratio=0.0)
    duel = Duel(graph, upstream(), point, lens_of(32, 5), heads=1 if graph.geometry.latent else 2, seed=5)
    for _ in range(3):
        duel.step()
        duel.grow()
    assert duel.selected


def test_the_duel_notices_a_wrong_budget_and_a_wrong_score() -> None:
    entry = next(entry for entry in ENTRIES if entry.name == "block_sparse_attention")
    duel = duel_of(entry, Cell(2, 16, 1))
    duel.engine.budget = lambda blocks, head: 6
    with pytest.raises(AssertionError):
        duel.step()
    other = next(entry for entry in ENTRIES if entry.name == "gqa_quest_sparse_attention")
    wrong = Duel(duel_of(other, Cell(2, 16, 1)).graph, entry.flow(), OperatingPoint(topk_val=2, topk_ratio=0.0), [200, 230])
    with pytest.raises(AssertionError):
        for _ in range(3):
            wrong.step()
