"""Attention kernels against plain softmax attention of each row; whatever is not listed is poisoned."""
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.compiler.attention import block_mass as whole_mass
from vortex.compiler.kernels.attention import AttentionScratch, attend, block_mass, make_scratch, shape_of
from vortex.compiler.kernels.attention_shape import Tile
from vortex.compiler.reference import Row
from vortex.compiler.reference import attend as reference

NAN = float("nan")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer's step. `lists` are by request and kv head; None: all blocks."""

    lens: tuple[int, ...]
    lists: tuple[tuple[tuple[int, ...], ...], ...] | None = None
    heads: int = 2
    group: int = 4
    channels: int = 32
    size: int = 4
    rank: int = 0
    dtype: torch.dtype = torch.float32
    cache: torch.dtype = torch.float32
    splits: int = 1
    tokens: int | None = None             # of a tile
    nhd: bool = False                     # pools laid out [P, S, H, D], as serving engines have them
    wide: torch.dtype = torch.int32       # of the lists
    k_scale: float = 1.0
    v_scale: float = 1.0
    seed: int = 0

    @property
    def blocks(self) -> list[int]:
        return [-(-length // self.size) for length in self.lens]

    def listed(self, request: int, head: int) -> list[int]:
        return list(range(self.blocks[request])) if self.lists is None else list(self.lists[request][head])


class Layer:
    """The tensors of a case. Every token that no list names is NaN, and so is every output before the step."""

    def __init__(self, case: Case) -> None:
        self.case, self.scale = case, case.channels ** -0.5 * 1.5
        draw = torch.Generator().manual_seed(case.seed)
        batch, width = len(case.lens), max(max(case.blocks), 1) + 1
        pool = batch * width + 3
        order = torch.randperm(pool, generator=draw)[:batch * width].view(batch, width)
        self.ids = order
        q = torch.randn(batch, case.heads, case.group, case.channels, generator=draw)
        self.q = q.to(DEVICE, case.dtype)
        self.k, self.v = (self._pool(pool, draw) for _ in range(2))
        self.tables = torch.where(torch.arange(width) < torch.tensor(case.blocks)[:, None], order, 0).int().to(DEVICE)
        self.lens = torch.tensor(case.lens, dtype=torch.int32, device=DEVICE)
        self.index, self.counts, self.most = None, None, width
        if case.lists is not None:
            counts = torch.tensor([[len(entries) for entries in row] for row in case.lists])
            self.most = max(1, int(counts.max())) + 1
            self.index = torch.full((batch, case.heads, self.most), 0x7F7F7F7F, dtype=case.wide)
            for b, row in enumerate(case.lists):
                for h, entries in enumerate(row):
                    self.index[b, h, :len(entries)] = torch.tensor(entries, dtype=case.wide)
            self.index, self.counts = self.index.to(DEVICE), counts.to(DEVICE, case.wide)
        values = case.rank or case.channels
        self.out = torch.full((batch, case.heads, case.group, values), NAN, dtype=case.dtype, device=DEVICE)
        self.lse = torch.full((batch, case.heads, case.group), NAN, device=DEVICE)
        self.mass = torch.full((batch, case.heads, self.most), NAN, device=DEVICE)

    def _pool(self, blocks: int, draw: torch.Generator) -> torch.Tensor:
        case = self.case
        live = torch.zeros(case.heads, blocks, case.size, dtype=torch.bool)
        for b, length in enumerate(case.lens):
            for h in range(case.heads):
                for position in case.listed(b, h):
                    live[h, self.ids[b, position], :min(case.size, length - position * case.size)] = True
        numbers = torch.randn(case.heads, blocks, case.size, case.channels, generator=draw)
        numbers = torch.where(live[..., None], numbers, NAN).to(DEVICE, case.cache)
        return numbers.permute(1, 2, 0, 3).contiguous().permute(2, 0, 1, 3) if case.nhd else numbers

    def scratch(self) -> AttentionScratch:
        case = self.case
        cut = Tile(case.tokens, 4, 1, 1) if case.tokens else None
        shape = shape_of(self.q, self.k, self.v, sparse=case.lists is not None, rank=case.rank, cut=cut)
        made = make_scratch(shape, len(case.lens), case.heads, self.most, DEVICE, case.splits)
        for part in (made.parts, made.levels, made.lse):
            part.fill_(NAN)
        return made

    def run(self, scratch: AttentionScratch | None = None) -> None:
        case = self.case
        attend(self.q, self.k, None if case.rank else self.v, self.tables, self.lens, self.out, scale=self.scale,
               index=self.index, counts=self.counts, rank=case.rank, k_scale=case.k_scale, v_scale=case.v_scale,
               scratch=scratch or self.scratch(), lse=self.lse, mass=self.mass)

    def row(self, request: int, head: int) -> Row:
        """The row in float32, as the reference has it; zeros for tokens that nobody reads."""
        case, ids = self.case, self.ids[request, :self.case.blocks[request]]
        k, v = ((pool[head].cpu()[ids].float() * times).nan_to_num(0.0).flatten(0, 1)[:case.lens[request]]
                for pool, times in ((self.k, case.k_scale), (self.v, case.v_scale)))
        if case.rank:
            v = k[:, :case.rank] / case.k_scale * case.v_scale
        return Row(q=self.q[request, head].float().cpu(), k=k, v=v)

    def check(self) -> None:
        case, rounding = self.case, {torch.bfloat16: 2 ** -8, torch.float16: 2 ** -11}
        near = rounding.get(case.dtype, 2e-6) * (1 if DEVICE.type == "cpu" else 4)
        for b in range(len(case.lens)):
            for h in range(case.heads):
                row, entries = self.row(b, h), case.listed(b, h)
                if not entries:
                    assert self.out[b, h].count_nonzero() == 0 and self.mass[b, h].count_nonzero() == 0
                    assert (self.lse[b, h] == -math.inf).all()
                    continue
                expected = reference(row, entries, case.size, self.scale)
                torch.testing.assert_close(self.out[b, h].float().cpu(), expected, rtol=near, atol=2e-6 if near < 1e-5 else near)
                tokens = [t for e in entries for t in range(e * case.size, min((e + 1) * case.size, len(row.k)))]
                logits = row.q @ row.k[tokens].T * self.scale
                torch.testing.assert_close(self.lse[b, h].cpu(), logits.logsumexp(1), rtol=1e-5, atol=1e-5)
                shares = torch.zeros(self.most).index_add_(0, torch.tensor([entries.index(t // case.size) for t in tokens]),
                                                           logits.softmax(1).mean(0))
                torch.testing.assert_close(self.mass[b, h].cpu(), shares, rtol=1e-4, atol=1e-6)
                assert math.isclose(float(self.mass[b, h].sum()), 1.0, rel_tol=1e-5)


ODD = (((0, 1, 4, 8), (3, 8)), ((), ()), ((0,), (0,)), ((1, 2, 3), (0, 1, 2, 3)))
LATENT_LISTS = (((0, 2, 3, 5),), ((),), ((1,),))
CASES = {
    "plain": Case(lens=(35, 0, 1, 16), lists=ODD),
    "blocks of one token": Case(lens=(9, 0, 1, 4), lists=ODD, size=1, splits=2, tokens=16),
    "blocks as wide as a tile": Case(lens=(260,), lists=(((0, 2, 4), (4,)),), size=64, tokens=64),
    "blocks wider than a tile": Case(lens=(250,), lists=(((0, 2, 3), (3,)),), size=64, splits=3, tokens=16),
    "blocks of sixteen": Case(lens=(131, 0, 1, 50), lists=ODD, size=16, splits=2, group=7),
    "one query head": Case(lens=(35, 0, 1, 16), lists=ODD, group=1, splits=2),
    "five query heads of 80 channels": Case(lens=(35, 0, 1, 16), lists=ODD, group=5, channels=80, splits=3, tokens=16),
    "twenty query heads of 128": Case(lens=(35, 0, 1, 16), lists=ODD, group=20, channels=128),
    "more query heads than a program takes": Case(lens=(35,), lists=(((0, 8), (2, 7, 8)),), group=35, splits=2),
    "more splits than there are tiles": Case(lens=(35, 0, 1, 16), lists=ODD, splits=5, tokens=16),
    "more splits than are joined at a time": Case(lens=(75,), lists=(((*range(3, 19),), (18,)),), splits=18, tokens=16, size=4),
    "wide lists": Case(lens=(35, 0, 1, 16), lists=ODD, wide=torch.int64),
    "engine layout": Case(lens=(35, 0, 1, 16), lists=ODD, nhd=True, splits=2),
    "bfloat16": Case(lens=(35, 0, 1, 16), lists=ODD, dtype=torch.bfloat16, cache=torch.bfloat16, splits=2),
    "bfloat16, one split": Case(lens=(35, 0, 1, 16), lists=ODD, dtype=torch.bfloat16, cache=torch.bfloat16),
    "float16": Case(lens=(35, 0, 1, 16), lists=ODD, dtype=torch.float16, cache=torch.float16),
    "e4m3": Case(lens=(35, 0, 1, 16), lists=ODD, dtype=torch.bfloat16, cache=FP8[0], k_scale=0.5, v_scale=3.0, splits=2),
    "e5m2": Case(lens=(35, 0, 1, 16), lists=ODD, dtype=torch.float16, cache=FP8[1], k_scale=2.0, v_scale=0.25),
    "latent": Case(lens=(23, 0, 7), lists=LATENT_LISTS, heads=1, group=20, channels=48, rank=32, splits=2),
    "latent of fp8": Case(lens=(23, 0, 7), lists=LATENT_LISTS, heads=1, group=3, channels=48, rank=32, cache=FP8[0],
                          dtype=torch.bfloat16, k_scale=2.0, v_scale=2.0),
    "latent as it is shipped": Case(lens=(75,), lists=(((0, 4),),), heads=1, group=16, channels=576, rank=512, size=16, splits=2),
    "dense": Case(lens=(35, 0, 1, 16)),
    "dense, split": Case(lens=(135, 0, 1, 16), size=16, group=7, channels=80, splits=4),
    "dense, wide tiles": Case(lens=(135, 3), size=4, tokens=64, splits=2, dtype=torch.bfloat16, cache=torch.bfloat16),
    "dense, latent": Case(lens=(35, 0, 1), heads=1, group=5, channels=48, rank=32, splits=2),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_attend_what_they_list_and_nothing_else(case: Case) -> None:
    layer = Layer(case)
    layer.run()
    layer.check()


@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_step(data: st.DataObject) -> None:
    size, heads = data.draw(st.sampled_from((1, 2, 8, 32))), data.draw(st.integers(1, 2))
    lens = tuple(data.draw(st.lists(st.integers(0, 6 * size), min_size=1, max_size=3)))

    def entries(length: int) -> tuple[int, ...]:
        blocks = -(-length // size)
        return tuple(sorted(data.draw(st.sets(st.integers(0, blocks - 1))) | {blocks - 1})) if blocks else ()

    lists = tuple(tuple(entries(length) for _ in range(heads)) for length in lens) if data.draw(st.booleans()) else None
    layer = Layer(Case(lens=lens, lists=lists, heads=heads, size=size, group=data.draw(st.integers(1, 6)),
                       channels=data.draw(st.sampled_from((8, 16, 24))), splits=data.draw(st.integers(1, 4)),
                       tokens=data.draw(st.sampled_from((16, 32))), nhd=data.draw(st.booleans())))
    layer.run()
    layer.check()


def test_without_extras_and_with_a_scratch_of_its_own_the_output_is_the_same() -> None:
    layer = Layer(CASES["five query heads of 80 channels"])
    layer.run()
    out = torch.full_like(layer.out, NAN)
    attend(layer.q, layer.k, layer.v, layer.tables, layer.lens, out, scale=layer.scale, index=layer.index, counts=layer.counts)
    torch.testing.assert_close(out, layer.out, rtol=1e-6, atol=1e-6)


def test_masses_do_not_need_the_log_sum_exp_to_be_asked_for() -> None:
    layer = Layer(CASES["plain"])
    layer.run()
    mass = torch.full_like(layer.mass, NAN)
    attend(layer.q, layer.k, layer.v, layer.tables, layer.lens, layer.out, scale=layer.scale, index=layer.index,
           counts=layer.counts, scratch=layer.scratch(), mass=mass)
    torch.testing.assert_close(mass, layer.mass)


def test_lists_of_a_worklist_are_read_where_they_lie() -> None:
    """index [rows, L] with a longer stride."""
    layer = Layer(CASES["plain"])
    assert layer.index is not None
    roomy = torch.full((8, layer.most + 5), 0x7F7F7F7F, dtype=torch.int32, device=DEVICE)
    roomy[:, :layer.most] = layer.index.view(8, -1)
    layer.index = roomy[:, :layer.most]
    layer.run()
    layer.check()


def test_a_scratch_serves_step_after_step() -> None:
    """What a longer row left behind is not read again."""
    long, short = Layer(Case(lens=(35, 30), splits=3, tokens=16)), Layer(Case(lens=(35, 2), splits=3, tokens=16))
    scratch = long.scratch()
    long.run(scratch)
    short.run(scratch)
    short.check()


def test_a_nan_among_the_listed_keys_reaches_its_row_alone() -> None:
    layer = Layer(Case(lens=(20, 20)))
    layer.k[1, layer.ids[0, 2], 1, 3] = NAN
    layer.run()
    assert layer.out[0, 1].isnan().all() and not layer.out[1].isnan().any() and not layer.out[0, 0].isnan().any()


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_block_mass_is_that_of_the_language(splits: int, dtype: torch.dtype) -> None:
    case = Case(lens=(35, 0, 18), size=4, group=3, dtype=dtype, cache=dtype, splits=splits)
    layer = Layer(case)
    scored = torch.tensor([8, 0, 0, 0, 0, 4], dtype=torch.int32, device=DEVICE)
    mass = torch.full((6, layer.most), NAN, device=DEVICE)
    block_mass(layer.q, layer.k, layer.tables, layer.lens, mass, scratch=layer.scratch(), scored=scored)
    for row, end in enumerate(scored.tolist()):
        assert mass[row, end:].isnan().all()                 # the planner's rows are written as far as they are scored
        if end:
            one = layer.row(row // 2, row % 2)
            expected = whole_mass(one.q[None], one.k[None], case.size)[0, :end]
            torch.testing.assert_close(mass[row, :end].cpu(), expected, rtol=1e-4, atol=1e-6)
