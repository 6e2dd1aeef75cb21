"""Every built-in flow makes the score that a hand-written formula makes, at many geometries."""
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.reference import Outcome, Row, run
from vortex.config import OperatingPoint
from vortex.errors import FlowNotFound
from vortex.ir import Geometry, Graph

POINT = OperatingPoint(topk_ratio=0.0, topk_val=2)
GEOMETRIES = [Geometry(block, dim, group) for block in (16, 32, 64) for dim in (64, 128) for group in (1, 2, 4, 5, 7)]
Array = Any


def envelope(q: Array, k: Array) -> Array:
    """max over heads of the sum over channels of max(q * hi, q * lo)."""
    return np.maximum(q * k.max(0), q * k.min(0)).sum(1).max()


def mean_of_q_on(q: Array, c: Array) -> Array:
    return q.mean(0) @ c


def per_head_softmax(q: Array, ks: Array) -> Array:
    """max over heads of the softmax over the middle; block 0 is reserved and has no share."""
    dots = 0.09 * (ks.mean(1) @ q.T)
    share = np.zeros_like(dots)
    share[1:] = np.exp(dots[1:]) / np.exp(dots[1:]).sum(0)
    return share.max(1)


def centered(q: Array, ks: Array) -> Array:
    score = ks.mean(1) @ q.mean(0)
    return score - score[1:].mean()


def masses(q: Array, keys: Array, size: int, blocks: int) -> Array:
    dots = q @ keys.T / np.sqrt(q.shape[1])
    weights = np.exp(dots - dots.max(1, keepdims=True))
    weights = (weights / weights.sum(1, keepdims=True)).mean(0)
    return np.array([weights[i * size:(i + 1) * size].sum() for i in range(blocks)])


def each(score: Callable[[Array, Array], Array]) -> Callable[[Array, Array, Array], Array]:
    return lambda q, ks, vs: np.array([score(q, k) for k in ks])


def logsumexp(x: Array, axis: int) -> Array:
    top = x.max(axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis)) + top.squeeze(axis)


def shares(dots: Array) -> Array:
    """Sum over heads of each head's softmax [n, G] over the middle."""
    out = np.zeros(len(dots))
    out[1:] = (np.exp(dots[1:]) / np.exp(dots[1:]).sum(0)).sum(1)
    return out


def mass_votes(q: Array, ks: Array) -> Array:
    return shares(logsumexp(np.einsum("gd,ntd->ngt", q, ks) / np.sqrt(q.shape[1]), 2))


def box(q: Array, k: Array) -> Array:
    centre, reach = k.mean(0), np.abs(k - k.mean(0)).mean(0)
    return np.maximum(q * (centre + reach), q * (centre - reach)).sum(1).max()


def likest(q: Array, k: Array) -> Array:
    tokens = np.argsort(-(k @ k.mean(0)), kind="stable")[:4]
    return (k[tokens] @ q.mean(0)).sum()


def strong(q: Array, ks: Array) -> Array:
    kept = np.argsort(-np.abs(q).sum(0), kind="stable")[:q.shape[1] // 8]
    part = q[:, kept]
    weight = np.abs(part).sum(1) / np.abs(q).sum(1)
    ends = np.where(part >= 0, ks[..., kept].max(1)[:, None], ks[..., kept].min(1)[:, None])
    return shares((part * ends).sum(2) / np.sqrt(weight * q.shape[1]))


def in_8_bits(x: Array) -> Array:
    return torch.from_numpy(x).float().to(torch.float8_e4m3fn).double().numpy()


def in_4_bits(x: Array) -> Array:
    scale = np.abs(x).max(-1, keepdims=True) / 7
    return np.rint(x / scale) * scale


def log_shares(q: Array, ks: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(mass_votes(q, in_4_bits(ks)))


SCORES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "centroid": each(lambda q, k: mean_of_q_on(q, k.mean(0))),
    "gqa-centroid": lambda q, ks, vs: per_head_softmax(q, ks),
    "quest": each(envelope),
    "lserve": each(lambda q, k: max(envelope(q, part) for part in np.split(k, len(k) // 16))),
    "lserve-centroid": each(lambda q, k: max(mean_of_q_on(q, p.mean(0)) for p in np.split(k, len(k) // 16))),
    "masked-quest": each(lambda q, k: envelope(q[:, 8:], k[:, 8:])),
    "centered-centroid": lambda q, ks, vs: centered(q, ks),
    "running-average": each(lambda q, k: mean_of_q_on(q, k.mean(0))),
    "value-energy": lambda q, ks, vs: np.array([mean_of_q_on(q, k.mean(0)) * np.sqrt((v * v).sum(1)).mean()
                                                for k, v in zip(ks, vs, strict=True)]),
    "arkvale": each(box),
    "infllm": each(likest),
    "rocketkv": lambda q, ks, vs: strong(q, ks),
    "relu-indexer": each(lambda q, k: np.maximum(q @ in_8_bits(k).T, 0).sum(0).max()),
    "twilight": lambda q, ks, vs: log_shares(q, ks),
    "h2o": lambda q, ks, vs: mass_votes(q, ks),
    "tidaldecode": lambda q, ks, vs: mass_votes(q, ks),
    "recent": lambda q, ks, vs: np.arange(len(ks)),
    "oracle-peak": each(lambda q, k: (q @ k.T).max()),
}


@cache
def graph_of(name: str, geometry: Geometry) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, geometry)


def row_of(geometry: Geometry, tokens: int, seed: int = 0) -> Row:
    generator = torch.Generator().manual_seed(seed)
    return Row(q=torch.randn(geometry.group, geometry.head_dim, generator=generator),
               k=torch.randn(tokens, geometry.head_dim, generator=generator),
               v=torch.randn(tokens, geometry.head_dim, generator=generator), layer=1, head=2, seed=3)


def outcome(name: str, geometry: Geometry, row: Row, state: dict[str, torch.Tensor] | None = None) -> Outcome:
    return run(graph_of(name, geometry), POINT.with_(block_size=geometry.block_size), row, state)


def arrays(row: Row, size: int, blocks: int) -> tuple[Array, Array, Array]:
    """q and the first `blocks` blocks of k and v, in double precision."""
    k, v = (x.double().numpy()[:blocks * size].reshape(blocks, size, -1) for x in (row.k, row.v))
    return row.q.double().numpy(), k, v


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("name", SCORES)
def test_a_flow_scores_as_its_formula_says(name: str, geometry: Geometry) -> None:
    size = geometry.block_size
    row = row_of(geometry, 8 * size + 5)
    made = outcome(name, geometry, row)
    assert made.score is not None
    expected = SCORES[name](*arrays(row, size, blocks=7))
    np.testing.assert_allclose(made.score.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", GEOMETRIES[::7], ids=str)
def test_the_oracle_scores_the_exact_mass_of_each_block(geometry: Geometry) -> None:
    row = row_of(geometry, 8 * geometry.block_size + 5)
    made = outcome("oracle", geometry, row)
    assert made.score is not None
    expected = masses(row.q.numpy(), row.k.numpy(), geometry.block_size, 7)
    np.testing.assert_allclose(made.score.numpy(), expected, rtol=1e-4)


def test_the_running_average_halves_what_it_remembers() -> None:
    geometry = Geometry(16, 64, 4)
    row = row_of(geometry, 8 * 16 + 5)
    first = outcome("running-average", geometry, row)
    second = outcome("running-average", geometry, row, dict(first.state))
    assert first.score is not None and second.score is not None
    torch.testing.assert_close(second.score, first.score * 1.5)
    assert first.state["score"].shape == (8, 1, 1)
    assert not first.state["score"][7:].any(), "blocks that are not scored keep their first value"


def test_the_best_blocks_are_taken_between_the_reserved_ones() -> None:
    geometry = Geometry(16, 64, 4)
    row = row_of(geometry, 12 * 16 + 1)
    made = outcome("recent", geometry, row)
    assert made.blocks == (0, 9, 10, 11, 12)
    assert outcome("dense", geometry, row).blocks == tuple(range(13))
    tokens = [t for b in made.blocks for t in range(16 * b, min(16 * b + 16, len(row.k)))]
    weights = torch.softmax(row.q @ row.k[tokens].T / 8, dim=1)
    torch.testing.assert_close(made.output, weights @ row.v[tokens])


PARAMETERS = Path(flows.__file__).parent


def test_calibrated_flows_read_the_probes_channels_and_directions() -> None:
    geometry = Geometry(16, 64, 2)
    row = replace(row_of(geometry, 8 * 16 + 5), head=1)
    q, ks, _ = arrays(row, 16, blocks=7)
    channels = load_file(PARAMETERS / "double_sparsity.safetensors")["channels"][1, 1, 0].astype(int)
    basis = load_file(PARAMETERS / "loki.safetensors")["basis"][1, 1].astype(float)
    expected = {"double-sparsity": (q[:, channels] @ ks[..., channels].transpose(0, 2, 1)).max((1, 2)),
                "loki": ((q @ basis) @ (ks @ basis).transpose(0, 2, 1)).max((1, 2))}
    for name, scores in expected.items():
        made = outcome(name, geometry, row)
        assert made.score is not None
        np.testing.assert_allclose(made.score.numpy(), scores, rtol=1e-4, atol=1e-4)


LATENT_SCORES: dict[str, Callable[[Array, Array, int], Array]] = {
    "mla-centroid": lambda q, c, rank: c.mean(0) @ q.mean(0),
    "mla-lserve-centroid": lambda q, c, rank: max(p.mean(0) @ q.mean(0) for p in np.split(c, len(c) // 16)),
    "mla-nope-centroid": lambda q, c, rank: c.mean(0)[:rank] @ q.mean(0)[:rank],
    "mla-nope-lserve-centroid": lambda q, c, rank: max(p.mean(0)[:rank] @ q.mean(0)[:rank] for p in np.split(c, len(c) // 16)),
    "mla-weighted": lambda q, c, rank: 0.5 * (c.mean(0) @ q.mean(0)),
}


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("name", flows.LATENT)
def test_a_latent_flow_scores_as_its_formula_says(name: str, size: int) -> None:
    geometry = Geometry.of_latent(size, 24, 8, 5)
    row = row_of(geometry, 8 * size + 5)
    row = replace(row, v=row.k[:, :24])
    made = outcome(name, geometry, row)
    assert made.score is not None and made.output.shape == (5, 24)
    q, latents, _ = arrays(row, size, blocks=7)
    expected = [LATENT_SCORES[name](q, c, 24) for c in latents]
    np.testing.assert_allclose(made.score.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_heavy_hitters_fade_slowly() -> None:
    geometry = Geometry(16, 64, 4)
    row = row_of(geometry, 8 * 16 + 5)
    first = outcome("h2o", geometry, row)
    second = outcome("h2o", geometry, row, dict(first.state))
    assert first.score is not None and second.score is not None
    torch.testing.assert_close(second.score, first.score * 1.984375)


def test_twilight_takes_the_fewest_blocks_that_hold_its_share() -> None:
    geometry = Geometry(16, 64, 1)
    row = row_of(geometry, 40 * 16 + 5)
    row = replace(row, k=torch.cat([row.k[:80], row.k[80:96] + 2 * row.q, row.k[96:]]))
    made = run(graph_of("twilight", geometry), OperatingPoint(**asked_by("twilight")), row)
    assert made.blocks == (0, 5, 39, 40), "one block holds nearly all of the mass"


def asked_by(name: str) -> dict[str, Any]:
    return flows.settings(flows.read(name)[2])


def test_a_file_of_ones_own_asks_nothing_whatever_it_is_called(tmp_path: Path) -> None:
    mine = tmp_path / "twilight.py"
    mine.write_text(flows.read("twilight")[1])
    assert asked_by(str(mine)) == {} != asked_by("twilight")


def test_settings_beside_a_flow_are_settings_of_a_point() -> None:
    asked = {name: asked_by(name) for name in flows.names() if asked_by(name)}
    assert set(asked) == {"lserve", "tidaldecode", "twilight"}
    assert all(OperatingPoint(**settings) for settings in asked.values())


@pytest.mark.parametrize("name", sorted({*flows.names()} - {*flows.LATENT}))
def test_a_row_that_fits_attends_everything(name: str) -> None:
    geometry = Geometry(16, 64, 2)
    row = row_of(geometry, 5 * 16)
    made = outcome(name, geometry, row)
    assert made.blocks == tuple(range(5))
    torch.testing.assert_close(made.output, torch.softmax(row.q @ row.k.T / 8, dim=1) @ row.v)


def test_random_blocks_change_with_the_seed_the_length_the_layer_and_the_head() -> None:
    geometry = Geometry(16, 64, 1)
    row = row_of(geometry, 400)
    rows = [row, Row(**{**vars(row), "seed": 4}), Row(**{**vars(row), "layer": 2}), Row(**{**vars(row), "head": 0}),
            Row(**{**vars(row), "k": row.k[:-1], "v": row.v[:-1]})]
    drawn = [outcome("random", geometry, r) for r in rows]
    scores = {tuple(d.score.tolist()) for d in drawn if d.score is not None}
    assert len(scores) == len(rows)
    assert torch.equal(outcome("random", geometry, row).score, drawn[0].score)  # type: ignore[arg-type]


def test_fields_are_rounded_to_the_dtype_of_the_point_and_nothing_else_is() -> None:
    geometry = Geometry(16, 64, 4)
    row = row_of(geometry, 10 * 16)
    point = POINT.with_(dtype="bfloat16")
    made = run(graph_of("centroid", geometry), point, row)
    centroids = row.k.reshape(10, 16, 64).mean(1).bfloat16().float()
    assert made.score is not None
    torch.testing.assert_close(made.score, centroids[:8] @ row.q.mean(0), rtol=1e-6, atol=1e-6)


def test_names_are_those_of_the_files_and_aliases_those_of_the_upstream() -> None:
    files = {p.stem.replace("_", "-") for p in Path(flows.__file__).parent.glob("*.py")} - {"--init--"}
    assert set(flows.names()) == files
    assert set(flows.CONTROLS) <= set(flows.names())
    assert flows.read("gqa_quest_sparse_attention")[0] == "quest"
    assert flows.read("lserve_centroid")[0] == "lserve-centroid"
    assert flows.read("streaming-llm")[0] == "recent"
    assert flows.read("rope_aware_block_sparse_mla")[0] == "mla-centroid"
    assert all(graph_of(n, Geometry(16, 64, 2)).name == n for n in flows.names())


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x")
    assert flows.read(str(path)) == ("mine", "x", str(path))


@pytest.mark.parametrize(("name", "message", "hint"), [
    ("qest", "there is no flow 'qest'", "Did you mean quest?"),
    ("missing/flow.py", "cannot read missing/flow.py: No such file or directory", "FLOW is a file"),
    ("flow.py", "cannot read flow.py: No such file", "FLOW is a file"),
    (".", "cannot read .: Is a directory", "FLOW is a file"),
    ("zzzzzzzz", "there is no flow 'zzzzzzzz'", "There are: "),
])
def test_a_flow_that_is_not_there_is_told_of_the_nearest(name: str, message: str, hint: str) -> None:
    with pytest.raises(FlowNotFound) as refusal:
        flows.read(name)
    assert message in refusal.value.message
    assert refusal.value.hint.startswith(hint)
