"""The audit tells summaries that are right from those that are not, and from those that nobody wrote."""
import pytest
import torch

from tests.compiler.test_cpu import POINT, geometry_of
from tests.compiler.world import built_in
from tests.serving.sglang.pool import Pool
from vortex.flows import names
from vortex.serving.sglang.audit import Audit, complete

LENS = [5, 95, 200, 333]
CPU = torch.device("cpu")


def pool_of(name: str, lens: list[int]) -> Pool:
    return Pool(built_in(name, geometry_of(name)), POINT, list(lens))


def checked(pool: Pool) -> dict[str, int]:
    audit = Audit(device=CPU)
    audit.check(pool.served, pool.slots, torch.tensor(pool.lens))
    return audit.told()


@pytest.mark.parametrize("name", names())
def test_what_a_flow_wrote_when_blocks_completed_is_what_the_audit_computes(name: str) -> None:
    pool, audit = pool_of(name, LENS), Audit(device=CPU)
    for _ in range(12):
        new = torch.stack([pool.slots[row, length] for row, length in enumerate(pool.lens)])
        audit.begun(pool.served, new)
        pool.grow()
        audit.check(pool.served, pool.slots, torch.tensor(pool.lens))
    told = audit.told()
    steps = [sum((length + step) // 16 for length in LENS) for step in range(1, 13)]
    fields = len(tuple(pool.graph.summaries))
    assert told == {"audited": sum(steps) * fields * 2, "missing": 0, "different": 0}


@pytest.mark.parametrize("page", [1, 4])
def test_a_block_that_was_begun_and_never_summarised_is_missing(page: int) -> None:
    pool = Pool(built_in("quest", geometry_of("quest")), POINT, [32, 31], page=page)
    audit = Audit(device=CPU)
    audit.begun(pool.served, pool.slots[0, 32:48])
    audit.begun(pool.served, pool.slots[1, 31:32])
    pool.lens = [48, 32]
    audit.check(pool.served, pool.slots, torch.tensor(pool.lens))
    fields = len(tuple(pool.graph.summaries))
    blocks = {"audited": 5, "missing": 2, "different": 0}
    assert audit.told() == {what: count * fields * 2 for what, count in blocks.items()}


def test_one_number_that_differs_is_found_in_its_layer_and_field_alone() -> None:
    pool = pool_of("quest", LENS)
    assert checked(pool)["different"] == 0
    field = next(iter(pool.served.summaries.fields[1].values()))
    block = int(pool.slots[2, 64]) // 16
    field[1, block, 0, 3] += 1e-6
    assert checked(pool)["different"] == 1 and checked(pool)["missing"] == 0
    field[:, block] = float("nan")
    assert checked(pool)["missing"] == 1 and checked(pool)["different"] == 0


def test_summaries_of_keys_that_are_no_numbers_are_right_as_they_are() -> None:
    pool = pool_of("quest", [64])
    for layer in (0, 1):
        pool.keys[layer][pool.slots[0, 20]] = float("nan")
        pool.served.summarise(layer, pool.slots[0, 16:17] // 16)
    told = checked(pool)
    assert (told["missing"], told["different"]) == (0, 0)


def test_wiping_leaves_nothing_that_is_not_missing_and_rebuilding_heals_it() -> None:
    pool = pool_of("quest", LENS)
    pool.served.summaries.wipe()
    told = checked(pool)
    assert told["missing"] == told["audited"] > 0
    pool.served.rebuild(torch.arange(1, pool.served.pages.k(0).shape[1]))
    assert checked(pool)["missing"] == 0


def test_shared_blocks_are_audited_once_and_open_ones_not_at_all() -> None:
    slots = torch.tensor([[16, 17, 18, 19, 32, 33, 34, 35, 48], [16, 17, 18, 19, 20, 21, 22, 23, 0]])
    assert complete(slots, torch.tensor([9, 7]), 4).tolist() == [4, 8]
    assert complete(slots, torch.tensor([3, 8]), 4).tolist() == [4, 5]
    assert complete(slots[:0], torch.zeros(0, dtype=torch.int64), 4).numel() == 0
