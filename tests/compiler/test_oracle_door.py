"""The door for outside programs, fed with flow files of the corpus: blocks and attention are the oracle's, step by step."""
import numpy as np
import pytest

import vortex
from tests.compiler.duel import CLOSE, assert_same_blocks, setting_of
from tests.oracle.corpus import ENTRIES, Entry
from tests.oracle.engine import Engine
from vortex.ir import Geometry

NAMES = ["gqa_quest_sparse_attention", "running_avg_block_sparse", "agent_union_with_state_cls", "agent_two_states_cls",
         "agent_state_from_summary_cls", "lserve_centroid_mla", "agent_mla_union_state_cls"]
HEADS, GROUP, BLOCK, STEPS = 2, 4, 16, 8


def entry_of(name: str) -> Entry:
    return next(entry for entry in ENTRIES if entry.name == name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blocks_per_page", [1, 4])
def test_requests_that_grow_by_any_number_of_tokens(name: str, blocks_per_page: int) -> None:
    entry, random = entry_of(name), np.random.default_rng(blocks_per_page)
    geometry = Geometry.of_latent(BLOCK, group=GROUP) if entry.latent else Geometry(BLOCK, 32, GROUP)
    heads, width = (1 if entry.latent else HEADS), geometry.head_dim
    point = vortex.OperatingPoint(block_size=BLOCK, topk_val=2, topk_ratio=0.25, block_reserved_bos=1, block_reserved_eos=2,
                                  page_size=BLOCK * blocks_per_page)
    flow, state = vortex.load_flow(entry.path, entry.name), None
    engine = Engine(entry.flow(), setting_of(point, geometry, heads, blocks_per_page), pages=200)
    pages = iter(random.permutation(np.arange(1, 200)).tolist())
    slots: list[list[int]] = [[], [], []]
    stored = [{part: np.zeros((0, heads, width), np.float32) for part in geometry.stored} for _ in slots]
    for step in range(STEPS):
        for own, parts, first in zip(slots, stored, (30, 100, 177), strict=True):
            new = first if step == 0 else int(random.integers(1, 20))
            tokens = {part: random.standard_normal((new, heads, width)).astype(np.float32) for part in parts}
            for t in range(len(own), len(own) + new):
                page = engine.setting.page
                own.append(own[-1] + 1 if t % page else next(pages) * page)
            engine.write(own[-new:], **{part: values.astype(np.float64) for part, values in tokens.items()})
            for part, values in tokens.items():
                parts[part] = np.concatenate([parts[part], values])
        q = random.standard_normal((len(slots), heads * GROUP, width)).astype(np.float32)
        k, v = ([parts.get(part, parts.get("latent")) for parts in stored] for part in ("k", "v"))
        found = vortex.decode_step(flow, q, k, None if entry.latent else v, point, state,
                                   **({"kv_lora_rank": geometry.kv_lora_rank} if entry.latent else {}))
        state = found.state
        for request, own in enumerate(slots):
            for head in range(heads):
                group = slice(head * GROUP, (head + 1) * GROUP)
                query = q[request, group].astype(np.float64)
                taken = found.blocks[request][head]
                assert_same_blocks(taken, engine.index(own, head, query), (step, request, head))
                right = engine.attend(own, head, query, taken, width ** -0.5)
                np.testing.assert_allclose(found.output[request, group], right, rtol=CLOSE, atol=CLOSE)
