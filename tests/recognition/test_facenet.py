"""FaceNet: the networks' published sizes, mining by hand, collapse, 8-bit templates, harmony."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from vultus.errors import ConfigError, VultusError  # noqa: E402
from vultus.nets.backbones import Backbone  # noqa: E402
from vultus.nets.layers import L2Pool2d, unit  # noqa: E402
from vultus.nets.learning import Progress  # noqa: E402
from vultus.recognition.crops import CropData  # noqa: E402
from vultus.recognition.facenet import FaceNet, FaceNetSettings, Harmonic  # noqa: E402
from vultus.recognition.facenet.learners import triplet_losses  # noqa: E402
from vultus.recognition.facenet.mining import mine  # noqa: E402
from vultus.recognition.facenet.networks import (  # noqa: E402
    INPUTS,
    NN2_ROWS,
    Inception,
    Maxout,
    build_network,
)
from vultus.recognition.facenet.templates import (  # noqa: E402
    cluster,
    dequantise,
    identify,
    quantise,
    squared_distances,
)
from vultus.training import export, load_recipe, train  # noqa: E402

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "facenet.yaml"


def config(**changes: Any) -> FaceNetSettings:
    values: dict[str, Any] = {
        "data": CropData(size=32, identities=8),
        "network": "backbone",
        "backbone": Backbone(name="smallnet", size=32, dim=16, width=0.25),
        "dim": 16,
        "people": 4,
        "each": 3,
    }
    return FaceNetSettings(**(values | changes))


@pytest.mark.parametrize(
    ("name", "millions", "gmac"),
    [
        ("nn1", 140, 1.6),
        ("nn2", 7.5, 1.6),
        ("nn4", None, 0.285),
        ("nns1", None, 0.22),
        ("nns2", None, 0.02),
    ],
)
def test_networks_have_the_published_size(name: str, millions: float | None, gmac: float) -> None:
    # On the meta device nothing is computed, so the 140 million weights cost nothing.
    with torch.device("meta"):
        network = build_network(name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            out = network(torch.zeros(1, 3, *INPUTS[name]))
    assert out.shape == (1, 128)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.15)
    if millions is not None:
        count = sum(p.numel() for p in network.parameters()) / 1e6
        assert count == pytest.approx(millions, rel=0.01)


def test_inception_channels_follow_the_table() -> None:
    inputs, found = 192, []
    for row in NN2_ROWS:
        block = Inception(inputs, row, "batch")
        inputs = block.channels
        found.append(inputs)
    assert found == [256, 320, 640, 640, 640, 640, 640, 1024, 1024, 1024]


def test_l2_pooling_stands_where_the_table_has_it() -> None:
    network = build_network("nn2")
    blocks = [m for m in network.modules() if isinstance(m, Inception)]
    with_l2 = [any(isinstance(m, L2Pool2d) for m in block.modules()) for block in blocks]
    assert with_l2 == [False, True, False, True, True, True, True, False, True, False]


def test_maxout_takes_the_larger_of_two_pieces() -> None:
    layer = Maxout(1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0], [2.0], [3.0]]))
        layer.linear.bias.zero_()
    assert layer(torch.tensor([[2.0]])).tolist() == [[2.0, 6.0]]


# Person 0 is samples 0 and 1; anchor 0 has its positive at 0.5.
LABELS = torch.tensor([0, 0, 1, 1, 1, 1])


def distances(*to_negatives: float) -> torch.Tensor:
    d = torch.full((6, 6), 9.0)
    d[0, 1] = d[1, 0] = 0.5
    d[0, 2:] = torch.tensor(to_negatives)
    return d


def negative_of_anchor_0(d: torch.Tensor, rule: str) -> set[int]:
    chosen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        found = mine(d, LABELS, margin=0.2, negatives=rule)  # type: ignore[arg-type]
        rows = (found.anchor == 0) & (found.positive == 1)
        chosen |= set(found.negative[rows].tolist())
    return chosen


@pytest.mark.parametrize(
    ("to_negatives", "rule", "expected"),
    [
        ((0.3, 0.65, 0.55, 2.0), "semi-hard", {4}),
        ((0.3, 0.2, 2.0, 3.0), "semi-hard", set()),
        ((0.3, 0.2, 0.1, 0.45), "semi-hard", {5}),
        ((0.3, 0.65, 0.55, 2.0), "hardest", {2}),
        ((0.3, 0.65, 0.55, 2.0), "violating", {2, 3, 4}),
        ((0.3, 0.65, 0.55, 2.0), "random", {2, 3, 4, 5}),
    ],
)
def test_negatives_by_hand(to_negatives: tuple[float, ...], rule: str, expected: set[int]) -> None:
    assert negative_of_anchor_0(distances(*to_negatives), rule) == expected


@given(st.integers(0, 1000))
def test_mined_triplets_obey_their_rule(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = unit(torch.randn(15, 4, generator=generator))
    labels = torch.arange(15) % 4
    d = (2 - 2 * vectors @ vectors.T).clamp(0, 4)
    found = mine(d, labels)
    assert found.pairs == 3 * (4 * 3) + 3 * 2
    a, p, n = found.anchor, found.positive, found.negative
    assert (labels[a] == labels[p]).all()
    assert (a != p).all()
    assert (labels[a] != labels[n]).all()
    others = d.masked_fill(labels[:, None] == labels[None], -1)
    semi = (d[a, n] > d[a, p]) & (d[a, n] < d[a, p] + 0.2)
    least_hard = (others[a].amax(1) <= d[a, p]) & (d[a, n] == others[a].amax(1))
    assert (semi | least_hard).all()


def test_hardest_positive_is_one_per_anchor() -> None:
    d = torch.rand(9, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(9) // 3
    found = mine(d, labels, negatives="hardest", positives="hardest")
    assert found.anchor.tolist() == list(range(9))
    same = labels[:, None] == labels[None]
    same.fill_diagonal_(False)
    assert (found.positive == d.masked_fill(~same, -1).argmax(1)).all()


def test_large_batches_are_mined_in_parts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from vultus.recognition.facenet import mining

    d = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 5
    whole = mine(d, labels)
    monkeypatch.setattr(mining, "_CHUNK", 7)
    parts = mine(d, labels)
    assert torch.equal(whole.negative, parts.negative)
    assert torch.equal(whole.anchor, parts.anchor)


def test_no_pair_gives_a_loss_of_zero_with_a_gradient() -> None:
    vectors = unit(torch.randn(3, 4)).requires_grad_()
    found = triplet_losses(vectors, torch.tensor([0, 1, 2]), config())
    found.terms["triplet"].backward()
    assert found.terms["triplet"].item() == 0
    assert float(found.monitors["active"]) == 0


def test_a_collapsed_batch_shows_in_the_monitors() -> None:
    vectors = unit(torch.ones(6, 4))
    found = triplet_losses(vectors, torch.arange(6) // 2, config(negatives="hardest"))
    assert found.terms["triplet"].item() == pytest.approx(0.2)
    assert float(found.monitors["distance_between"]) == pytest.approx(0, abs=1e-6)
    assert float(found.monitors["active"]) == 1


def test_triplets_pull_people_apart(tmp_path: Path) -> None:
    small = {"name": "smallnet", "size": 48, "dim": 32, "width": 0.25}
    found = []
    for steps in (1, 120):
        result = train(
            RECIPE,
            {"steps": steps, "config.network": "backbone", "config.backbone": small},
            debug=True,
            out=tmp_path / str(steps),
            tensorboard=False,
        )
        found.append(result.metrics["impostor_cosine"] - result.metrics["genuine_cosine"])
    assert found[1] < found[0] - 0.3


def test_debug_recipe_exports(tmp_path: Path) -> None:
    train(RECIPE, debug=True, out=tmp_path / "run", tensorboard=False)
    written = export(tmp_path / "run", tmp_path / "facenet.onnx")
    assert written.parity.relative < 1e-4
    assert "dim = 32" in written.manifest


def harmonic_config(tmp_path: Path, share: float) -> FaceNetSettings:
    from safetensors.torch import save_file

    for seed, name in ((1, "old"), (2, "new")):
        torch.manual_seed(seed)
        save_file(FaceNet.build(config()).state_dict(), tmp_path / f"{name}.safetensors")
    files = {n: str(tmp_path / f"{n}.safetensors") for n in ("old", "new")}
    return config(harmonic=Harmonic(**files, head_share=share))


def batch_of(settings: FaceNetSettings) -> dict[str, Any]:
    stream = FaceNet.data(settings, 0).streams["faces"]
    rows = [
        stream.examples.example(int(i), np.random.default_rng(0)) for i in stream.sampler.batch(0)
    ]
    return {"faces": torch.utils.data.default_collate(rows)}


def test_harmonic_training_moves_the_head_first_and_never_the_old_network(tmp_path: Path) -> None:
    settings = harmonic_config(tmp_path, 0.5)
    learner = FaceNet.build(settings)
    batch = batch_of(settings)
    old = {k: v.clone() for k, v in learner.old.state_dict().items()}
    for step, whole in ((0, False), (5, True)):
        learner.zero_grad()
        learner.losses(batch, Progress(step, 10)).terms["triplet"].backward()
        moving = {n for n, p in learner.network.named_parameters() if p.grad is not None}
        assert ("trunk.stages.0.0.0.weight" in moving) is whole
        assert "head.3.weight" in moving
        learner.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in learner.old.parameters())
    for name, value in learner.old.state_dict().items():
        assert torch.equal(value, old[name])
    start = load_file(tmp_path / "new.safetensors")
    weights = learner.network.state_dict()
    first = "trunk.stages.0.0.0.weight"
    assert torch.equal(weights[first], start[f"network.{first}"])
    assert not torch.equal(weights["head.3.weight"], start["network.head.3.weight"])


def test_harmonic_training_brings_the_versions_together(tmp_path: Path) -> None:
    settings = harmonic_config(tmp_path, 0.2)
    torch.manual_seed(0)
    learner = FaceNet.build(settings)
    batch = batch_of(settings)
    images, labels = batch["faces"]["image"], batch["faces"]["label"]

    def gap() -> float:
        """Squared distance across versions: same person minus different people."""
        with torch.no_grad():
            d = 2 - 2 * unit(learner.network(images)) @ unit(learner.old(images)).T
        same = labels[:, None] == labels[None]
        return float(d[same].mean() - d[~same].mean())

    before = gap()
    optimizer = torch.optim.Adagrad(learner.network.parameters(), 0.02)
    for step in range(30):
        optimizer.zero_grad()
        learner.losses(batch, Progress(step, 30)).terms["triplet"].backward()
        optimizer.step()
    assert gap() < before - 0.02


def test_harmonic_training_refuses_another_network(tmp_path: Path) -> None:
    settings = harmonic_config(tmp_path, 0.5)
    wide = Backbone(name="smallnet", size=32, dim=16, width=0.5)
    with pytest.raises(ConfigError, match="another network"):
        FaceNet.build(config(backbone=wide, harmonic=settings.harmonic))
    lost = Harmonic(old="nowhere.safetensors", new="nowhere.safetensors")
    with pytest.raises(ConfigError, match="nowhere"):
        FaceNet.build(config(harmonic=lost))


def people(count: int, each: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(count, 128)), each, 0)
    v = centres + noise * rng.normal(size=centres.shape)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v.astype(np.float32), np.repeat(np.arange(count), each)


def test_a_template_is_one_byte_per_dimension_and_keeps_the_distances() -> None:
    vectors, _ = people(20, 4, 0.5)
    codes = quantise(vectors)
    assert (codes.dtype, codes.nbytes) == (np.int8, 20 * 4 * 128)
    gap = squared_distances(dequantise(codes), dequantise(codes)) - squared_distances(
        vectors, vectors
    )
    assert np.abs(gap).max() < 0.02
    with pytest.raises(VultusError, match="finite"):
        quantise(np.full((1, 4), np.nan))


def test_extreme_vectors_are_clipped_and_stay_in_their_direction() -> None:
    one = np.eye(128, dtype=np.float32)[:3]
    np.testing.assert_allclose(dequantise(quantise(one)), one, atol=1e-6)


def test_identification_and_clusters_find_well_separated_people() -> None:
    vectors, who = people(6, 5, 0.3)
    probes, truth = people(6, 3, 0.3, 0)
    assert (identify(vectors, who, probes, 3) == truth).all()
    found = cluster(vectors, 1.1)
    assert len(np.unique(found)) == 6
    for number in np.unique(found):
        assert len(np.unique(who[found == number])) == 1
    assert cluster(vectors[:1]).tolist() == [0]


def test_nearer_neighbour_wins_a_tie() -> None:
    gallery = np.array([[1.0, 0], [0.8, 0.6], [0, 1]], np.float32)
    assert identify(gallery, ["b", "a", "c"], [[1.0, 0]], k=2).tolist() == ["b"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("config.network=backbone", "backbone must be given"),
        ("config.network=nn1", "220"),
        ("config.people=1", "2 people"),
        ("config.negatives=soft", "'semi-hard'"),
    ],
)
def test_settings_that_do_not_fit(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_recipe(RECIPE, [override])
