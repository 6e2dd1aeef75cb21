"""Flow files in the upstream's spelling load as they are: same algorithm, same hash as in ours, and back to text."""
from pathlib import Path

import pytest

from tests.oracle.corpus import ENTRIES, FOLDER, Entry
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.errors import FlowError
from vortex.ir import Geometry, Graph
from vortex.language.source import to_source

TWINS = {
    "block_sparse_attention": "centroid", "gqa_block_sparse_attention": "gqa-centroid",
    "gqa_quest_sparse_attention": "quest", "lserve_sparse_attention": "lserve",
    "lserve_centroid_sparse_attention": "lserve-centroid",
    "centered_block_sparse_attention": "centered-centroid", "running_avg_block_sparse": "running-average",
    "venergy_gated_centroid": "value-energy", "rope_aware_block_sparse_mla": "mla-centroid",
    "lserve_centroid_mla": "mla-lserve-centroid", "rope_unaware_block_sparse_mla": "mla-nope-centroid",
    "rope_unaware_lserve_centroid_mla": "mla-nope-lserve-centroid",
    "masked_quest_sparse_attention": "masked-quest",
}
NAMED = {entry.name: entry for entry in ENTRIES}


def geometries(entry: Entry) -> list[Geometry]:
    blocks = (1,) if entry.by_token else (16, 64)
    if entry.latent:
        return [Geometry.of_latent(block, group=group) for block, group in zip(blocks, (20, 5), strict=False)]
    return [Geometry(block_size=block, head_dim=dim, group=group)
            for block, dim, group in zip(blocks, (128, 64), (4, 7), strict=False)]


def graph_of(entry: Entry, geometry: Geometry) -> Graph:
    return load(entry.text, str(entry.path), geometry, entry.name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_file_loads_unchanged_and_its_graph_has_the_same_hash_after_json_and_after_our_spelling(entry: Entry) -> None:
    for geometry in geometries(entry):
        graph = graph_of(entry, geometry)
        assert Graph.from_json(graph.to_json()).hash == graph.hash
        ours = to_source(graph, name="again", doc="Again.")
        assert load(ours, "again.py", geometry).hash == graph.hash, ours


@pytest.mark.parametrize("upstream, native", TWINS.items(), ids=TWINS.keys())
def test_the_reference_flows_are_the_built_in_ones(upstream: str, native: str) -> None:
    _, text, path = flows.read(native)
    for geometry in geometries(NAMED[upstream]):
        assert identity(graph_of(NAMED[upstream], geometry)) == identity(load(text, str(path), geometry))


def alike(block_size: int) -> list[set[str]]:
    """Flows of one algorithm at this block size."""
    groups: dict[str, set[str]] = {}
    for entry in ENTRIES:
        geometry = next((g for g in geometries(entry) if g.block_size == block_size), None)
        if geometry is not None:
            groups.setdefault(identity(graph_of(entry, geometry)), set()).add(entry.name)
    return [names for names in groups.values() if len(names) > 1]


CENTROID = {"block_sparse_attention", "centered_block_sparse_attention", "agent_dead_values_cls", "agent_plain_centroid_cls"}
LATENT = {"rope_aware_block_sparse_mla", "rope_weighted_block_sparse_mla_b50"}


def test_different_files_are_different_algorithms_but_for_those_that_are_not() -> None:
    assert alike(64) == [CENTROID, LATENT]


def test_a_sub_block_as_large_as_the_block_is_the_block() -> None:
    assert alike(16) == [
        CENTROID | {"lserve_centroid_sparse_attention"}, {"gqa_quest_sparse_attention", "lserve_sparse_attention"},
        LATENT | {"lserve_centroid_mla"}, {"rope_unaware_block_sparse_mla", "rope_unaware_lserve_centroid_mla"}]


@pytest.mark.parametrize("path", sorted((FOLDER / "refused").glob("*.py")), ids=lambda path: path.stem)
def test_a_file_that_reads_the_environment_is_refused_with_that_reason(path: Path) -> None:
    with pytest.raises(FlowError) as refusal:
        load(path.read_text(), path.name, Geometry.of_latent())
    shown = f"{refusal.value} {refusal.value.hint}"
    assert "environ" in shown and ("param" in shown or "safetensors" in shown), shown
