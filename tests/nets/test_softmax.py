"""Sampled and sharded softmax heads: equal to the whole head where they must be."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from pytorch_metric_learning.distances import LpDistance  # noqa: E402
from pytorch_metric_learning.losses import TripletMarginLoss  # noqa: E402
from pytorch_metric_learning.reducers import MeanReducer  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from vultus.errors import ConfigError  # noqa: E402
from vultus.nets.layers import unit  # noqa: E402
from vultus.nets.margins import Margin  # noqa: E402
from vultus.nets.softmax import (  # noqa: E402
    MarginSoftmax,
    ShardedMarginSoftmax,
    sample_centres,
    shard_bounds,
)
from vultus.nets.triplets import squared_distances, triplet_loss  # noqa: E402

CLASSES, DIM, BATCH = 11, 6, 8


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(BATCH, DIM, generator=generator) * 20
    return x, torch.randint(0, CLASSES, (BATCH,), generator=generator)


def whole(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, gradient of the embeddings and of the centres, without any split."""
    torch.manual_seed(0)
    head = MarginSoftmax(DIM, CLASSES, Margin(name=name))
    x, y = samples()
    x.requires_grad_()
    loss = head(x, y)
    loss.backward()
    return loss.detach(), x.grad, head.weight.grad


NAMES = ("arcface", "magface", "adaface")


def _shard(rank: int, world: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    x, y = samples()
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    for name in NAMES:
        torch.manual_seed(0)
        head = ShardedMarginSoftmax(DIM, CLASSES, Margin(name=name))
        mine = x[part].clone().requires_grad_()
        loss = head(mine, y[part])
        loss.backward()
        found = {"loss": loss.detach()[None], "x": mine.grad, "w": head.weight.grad}
        save_file(found, f"{folder}/{name}-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what each of two processes found."""
    folder = tmp_path_factory.mktemp("shards")
    mp.spawn(_shard, args=(2, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_shards_equal_the_whole(name: str, shards: Path) -> None:
    loss, x, w = whole(name)
    parts = [load_file(shards / f"{name}-{rank}.safetensors") for rank in (0, 1)]
    assert [len(p["w"]) for p in parts] == [6, 5]
    for part in parts:
        torch.testing.assert_close(part["loss"][0], loss, rtol=1e-5, atol=1e-6)
    # Data parallelism divides the backbone's gradients by the number of processes.
    torch.testing.assert_close(torch.cat([p["x"] for p in parts]) / 2, x, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(torch.cat([p["w"] for p in parts]), w, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "arcface", "magface"])
def test_one_process_equals_the_whole(name: str) -> None:
    torch.manual_seed(0)
    head = ShardedMarginSoftmax(DIM, CLASSES, Margin(name=name))
    x, y = samples()
    x.requires_grad_()
    loss = head(x, y)
    loss.backward()
    expected = whole(name)
    for found, want in zip((loss.detach(), x.grad, head.weight.grad), expected, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-7)


@given(st.integers(1, 200), st.integers(1, 16))
def test_shards_cover_all_classes_once(classes: int, world: int) -> None:
    bounds = [shard_bounds(classes, rank, world) for rank in range(world)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == classes
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))
    sizes = [last - first for first, last in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_sample_holds_every_class_of_the_batch() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([90, 5, 5, 40])
    chosen = sample_centres(labels, 100, 0.2)
    assert len(chosen) == 20
    assert (chosen.diff() > 0).all()
    assert set(labels.tolist()) <= set(chosen.tolist())
    assert len(sample_centres(torch.arange(50), 100, 0.1)) == 50


@pytest.mark.parametrize("head", [MarginSoftmax, ShardedMarginSoftmax])
def test_sampled_loss_is_the_whole_loss_over_the_chosen_centres(head: type) -> None:
    torch.manual_seed(0)
    sampled = head(DIM, CLASSES, Margin(name="cosface", m=0.4), sample=0.6)
    x, y = samples()
    torch.manual_seed(5)
    chosen = sample_centres(y, CLASSES, 0.6)
    full = MarginSoftmax(DIM, len(chosen), Margin(name="cosface", m=0.4))
    with torch.no_grad():
        full.weight.copy_(sampled.weight[chosen])
    torch.manual_seed(5)
    loss = sampled(x, y)
    torch.testing.assert_close(loss, full(x, torch.searchsorted(chosen, y)))
    loss.backward()
    left_out = [i for i in range(CLASSES) if i not in chosen.tolist()]
    assert left_out
    assert (sampled.weight.grad[left_out] == 0).all()


def test_share_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="sampled"):
        MarginSoftmax(4, 4, sample=0.0)


def test_squared_distances_and_triplet_loss_known_answer() -> None:
    x = torch.eye(3)
    d = squared_distances(x, torch.cat([x, -x]))
    assert d[0].tolist() == [0, 2, 2, 4, 2, 2]
    assert triplet_loss(torch.tensor([0.5, 0.1]), torch.tensor([0.6, 0.9])).tolist() == (
        pytest.approx([0.1, 0.0])
    )


def test_triplet_loss_agrees_with_an_independent_library_on_squared_distances() -> None:
    torch.manual_seed(0)
    x, y = unit(torch.randn(12, 8)), torch.arange(12) % 3
    theirs = TripletMarginLoss(
        margin=0.2, distance=LpDistance(p=2, power=2), reducer=MeanReducer()
    )(x, y)
    d = squared_distances(x, x)
    same = y[:, None] == y[None]
    a, p, n = torch.nonzero(
        (same & ~torch.eye(12, dtype=torch.bool))[:, :, None] & ~same[:, None, :], as_tuple=True
    )
    torch.testing.assert_close(triplet_loss(d[a, p], d[a, n]).mean(), theirs)
