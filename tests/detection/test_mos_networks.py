"""MOS networks: deformable convolution against a slow reference, stitching, heads, losses."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from vultus.detection.mos.anchors import Faces, anchors, targets  # noqa: E402
from vultus.detection.mos.backbones import ShuffleNetV2, ShuffleUnit, build_trunk  # noqa: E402
from vultus.detection.mos.decoding import expected_angles  # noqa: E402
from vultus.detection.mos.deformable import DeformableConv2d, deformable_conv  # noqa: E402
from vultus.detection.mos.losses import (  # noqa: E402
    FEWEST,
    Uncertainty,
    hard_negatives,
    pose_loss,
    task_losses,
)
from vultus.detection.mos.networks import (  # noqa: E402
    CrossStitch,
    LevelHeads,
    MosNet,
    MosNetwork,
    Outputs,
    expected_angle,
)

TINY = {"width": 0.25, "channels": 8, "pose_channels": 8}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bilinear(plane: Tensor, y: float, x: float) -> float:
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total += wy * wx * float(plane[row, column])
    return total


def slow_deformable(x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    n, c, h, w = x.shape
    out = torch.zeros(n, len(weight), h, w)
    for b, o, i, j in np.ndindex(n, len(weight), h, w):
        for k, (dy, dx) in enumerate(np.ndindex(3, 3)):
            y = i + dy - 1 + float(offsets[b, 2 * k, i, j])
            at = j + dx - 1 + float(offsets[b, 2 * k + 1, i, j])
            seen = sum(float(weight[o, ch, dy, dx]) * bilinear(x[b, ch], y, at) for ch in range(c))
            out[b, o, i, j] += float(mask[b, k, i, j]) * seen
    return out


@pytest.mark.parametrize("shape", [(5, 4), (1, 3), (1, 1)])
def test_deformable_convolution_equals_a_loop_over_pixels(shape: tuple[int, int]) -> None:
    x, weight = random(2, 3, *shape), random(2, 3, 3, 3, seed=1)
    offsets = 1.5 * random(2, 18, *shape, seed=2)
    mask = random(2, 9, *shape, seed=3).sigmoid()
    expected = slow_deformable(x, offsets, mask, weight)
    torch.testing.assert_close(
        deformable_conv(x, offsets, mask, weight), expected, rtol=1e-4, atol=1e-4
    )


def test_without_offsets_it_is_plain_convolution() -> None:
    layer = DeformableConv2d(4, 6)
    x = random(2, 4, 7, 5)
    expected = nn.functional.conv2d(x, layer.weight, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_whole_offsets_shift_the_picture() -> None:
    x, weight = random(1, 2, 6, 6), random(3, 2, 3, 3, seed=1)
    offsets = torch.zeros(1, 18, 6, 6)
    offsets[:, 1::2] = 1.0
    shifted = nn.functional.pad(x, (0, 1))[..., 1:]
    plain = nn.functional.conv2d(shifted, weight, padding=1)
    found = deformable_conv(x, offsets, torch.ones(1, 9, 6, 6), weight)
    # At the left edge a tap that moved in sees what a shifted picture has lost.
    torch.testing.assert_close(found[..., 1:], plain[..., 1:], rtol=1e-4, atol=1e-5)


def test_gradients_of_offsets_are_right() -> None:
    x = random(1, 2, 4, 4).double().requires_grad_()
    # Away from whole places, where bilinear interpolation has a kink.
    offsets = (0.3 + 0.2 * random(1, 18, 4, 4, seed=1).sigmoid()).double().requires_grad_()
    mask = random(1, 9, 4, 4, seed=2).sigmoid().double().requires_grad_()
    weight = random(2, 2, 3, 3, seed=3).double().requires_grad_()
    assert torch.autograd.gradcheck(deformable_conv, (x, offsets, mask, weight))


def test_trunks_have_the_channels_of_the_paper() -> None:
    for name, channels in (
        ("shufflenet-v2", (116, 232, 464)),
        ("mobilenet-v2", (32, 96, 320)),
    ):
        trunk = build_trunk(name, 1.0).eval()
        assert trunk.channels == channels
        with torch.no_grad():
            shapes = [tuple(t.shape[1:]) for t in trunk(torch.zeros(1, 3, 64, 96))]
        assert shapes == [(c, 64 // s, 96 // s) for c, s in zip(channels, (8, 16, 32), strict=True)]


def test_shufflenet_has_the_published_number_of_parameters() -> None:
    # 1.3 M with the 1024-channel convolution and the classifier for 1000 classes, without which:
    count = sum(p.numel() for p in ShuffleNetV2().parameters())
    assert count == 2_278_604 - (464 * 1024 + 2 * 1024) - (1024 * 1000 + 1000)


def test_shuffle_interleaves_kept_and_worked_channels() -> None:
    unit = ShuffleUnit(8, 8, 1).eval()
    x = random(1, 8, 3, 3)
    with torch.no_grad():
        y = unit(x)
    torch.testing.assert_close(y[:, 0::2], x[:, :4], rtol=0, atol=0)


def test_stitching_mixes_channel_by_channel() -> None:
    stitch = CrossStitch(2, 3, "learned")
    torch.testing.assert_close(stitch.mix[0, :, 0], torch.tensor([0.9, 0.1]))
    with torch.no_grad():
        stitch.mix[0, 1] = torch.tensor([0.0, 1.0, 2.0])
    a, b = random(1, 3, 2, 2), random(1, 3, 2, 2, seed=1)
    first, second = stitch([a, b])
    scale = torch.tensor([0.0, 1.0, 2.0])[:, None, None]
    torch.testing.assert_close(first, 0.9 * a + scale * b)
    torch.testing.assert_close(second, 0.1 * a + 0.9 * b)


def test_mixing_weights_is_mixing_features() -> None:
    torch.manual_seed(0)
    heads = LevelHeads(MosNetwork(**TINY))
    with torch.no_grad():
        heads.stitch.mix.add_(torch.randn_like(heads.stitch.mix))
    x = random(2, 8, 4, 4)
    slow = torch.cat(heads.stitch([layer(x) for layer in heads.features]), 1)
    weight, bias = heads.stitch.mixed_layers(heads.features)
    torch.testing.assert_close(nn.functional.conv2d(x, weight, bias), slow, rtol=1e-4, atol=1e-5)


def test_identity_stitch_is_not_learned() -> None:
    heads = LevelHeads(MosNetwork(**TINY, stitch="identity"))
    assert not list(heads.stitch.parameters())
    a, b = random(1, 8, 2, 2), random(1, 8, 2, 2, seed=1)
    for given, found in zip([a] * 3 + [b] * 3, heads.stitch([a] * 3 + [b] * 3), strict=True):
        torch.testing.assert_close(given, found)


@pytest.mark.parametrize("trunk", ["shufflenet-v2", "mobilenet-v2"])
@pytest.mark.parametrize("pose", [True, False])
def test_outputs_have_one_row_per_anchor(trunk: str, pose: bool) -> None:
    torch.manual_seed(0)
    net = MosNet(MosNetwork(trunk=trunk, **TINY, pose=pose)).eval()
    with torch.no_grad():
        found = net(torch.zeros(2, 3, 64, 96))
    count = len(anchors(64, 96))
    assert found.logits.shape == (2, count, 2)
    assert found.boxes.shape == (2, count, 4)
    assert found.points.shape == (2, count, 10)
    assert (found.bins is not None) == pose
    if found.bins is not None:
        assert found.bins.shape == (2, count, 3, 66)


def test_predictions_lie_in_the_order_of_the_anchors() -> None:
    torch.manual_seed(0)
    heads = LevelHeads(MosNetwork(**TINY)).eval()
    x = random(1, 8, 2, 3)
    with torch.no_grad():
        rows = heads(x)[1]
        cell = heads(x[..., 1:2, 2:3])[1]
    # 1 x 1 predictors: row 1, column 2 are anchors 10 and 11.
    torch.testing.assert_close(rows[:, 10:12], cell, rtol=1e-4, atol=1e-5)


def test_offsets_and_stitches_get_gradients() -> None:
    torch.manual_seed(0)
    net = MosNet(MosNetwork(**TINY))
    found = net(random(2, 3, 64, 64))
    sum(value.square().sum() for value in found).backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # A convolution before a BatchNorm has no other reason to be silent than being cut off.
    assert not [n for n in silent if "places" in n or "mix" in n or "weight" in n]


def test_expected_angle_known_answers() -> None:
    sharp = torch.full((3, 66), -50.0)
    sharp[0, 0] = sharp[1, 33] = sharp[2, 65] = 50.0
    assert expected_angle(sharp).tolist() == pytest.approx([-99, 0, 96])
    logits = random(4, 3, 66)
    np.testing.assert_allclose(
        expected_angles(logits.numpy()), expected_angle(logits).numpy(), atol=1e-3
    )


def test_pose_loss_known_answer_and_labels_beyond_the_bins() -> None:
    even = torch.zeros(2, 66)
    degrees = torch.tensor([0.0, 150.0])
    # Even bins expect -1.5 degrees; 150 is clipped to just below 99.
    found = pose_loss(even, degrees, 0.01)
    assert found.tolist() == pytest.approx(
        [math.log(66) + 0.01 * 1.5**2, math.log(66) + 0.01 * 100.5**2], rel=1e-4
    )


def test_hard_negatives_are_the_worst_of_their_picture() -> None:
    losses = torch.arange(200.0)[None].repeat(2, 1)
    labels = torch.zeros(2, 200, dtype=torch.long)
    labels[0, 199] = labels[0, 198] = labels[0, 197] = 1
    labels[0, 196] = -1
    chosen = hard_negatives(losses, labels, 7)
    assert chosen[0].nonzero()[:, 0].tolist() == list(range(196 - 21, 196))
    assert int(chosen[1].sum()) == FEWEST


def one_face(size: float = 20.0) -> Faces:
    box = np.array([[30 - size / 2, 30 - size / 2, 30 + size / 2, 30 + size / 2]], np.float32)
    points = np.full((1, 5, 2), 30, np.float32)
    pose = np.array([[40.0, -10.0, 5.0]], np.float32)
    return Faces(box, points, pose, np.array([True]), np.array([False]))


def perfect(goal: dict[str, Tensor]) -> Outputs:
    face = goal["label"] == 1
    logits = torch.stack([torch.where(face, -20.0, 20.0), torch.where(face, 20.0, -20.0)], -1)
    bins = torch.full((*face.shape, 3, 66), -50.0)
    number = ((goal["pose"] + 99) / 3).floor().long()
    bins.scatter_(-1, number[..., None], 50.0)
    return Outputs(logits, goal["box"].clone(), goal["points"].clone(), bins)


def goal_of(faces: Faces) -> dict[str, Tensor]:
    found = targets(faces, anchors(64, 64), 24.0)
    return {name: torch.from_numpy(np.asarray(value))[None] for name, value in found.items()}


def test_perfect_answers_cost_nothing_but_the_width_of_a_bin() -> None:
    goal = goal_of(one_face())
    found = task_losses(perfect(goal), goal, ratio=7, alpha=1.0)
    for name in ("class", "box", "points"):
        assert float(found.terms[name]) == pytest.approx(0, abs=1e-6)
    # 40, -10 and 5 degrees lie 1, 2 and 2 degrees into their bins.
    angles = [float(found.terms[n]) for n in ("yaw", "pitch", "roll")]
    assert angles == pytest.approx([1, 4, 4], rel=1e-3)


def test_small_faces_carry_their_share_and_unknown_poses_none() -> None:
    goal = goal_of(one_face())
    zero = Outputs(*(torch.zeros(1, 168, k) for k in (2, 4, 10)), torch.zeros(1, 168, 3, 66))
    found = task_losses(zero, goal, ratio=7, alpha=0.0)
    assert float(found.small) == pytest.approx(float(found.total))
    large = task_losses(zero, goal_of(one_face(40)), ratio=7, alpha=0.0)
    assert float(large.small) == 0
    goal["posed"][:] = False
    unknown = task_losses(zero, goal, ratio=7, alpha=0.0)
    assert float(unknown.terms["yaw"]) == 0
    assert float(unknown.terms["box"]) == pytest.approx(float(found.terms["box"]))


def test_uncertainty_has_its_least_where_the_variance_is_the_loss() -> None:
    weights = Uncertainty(("class", "box"))
    terms = {"class": torch.tensor(0.5), "box": torch.tensor(4.0)}
    start = weights(terms)
    assert start["class"].item() == pytest.approx(0.5)
    assert start["box"].item() == pytest.approx(2.0)
    optimizer = torch.optim.SGD(weights.parameters(), 0.5)
    for _ in range(200):
        optimizer.zero_grad()
        sum(weights(terms).values()).backward()
        optimizer.step()
    # d/ds (f e^-s L + s/2) = 0 at s = log 2 f L.
    assert weights.log_variance.tolist() == pytest.approx(
        [math.log(2 * 0.5), math.log(4.0)], abs=1e-3
    )
