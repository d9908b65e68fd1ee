"""Both heads keep one contract: linear, symmetric, labelled, and expressive where it says so."""

from __future__ import annotations

import numpy as np
import pytest

from vultus.errors import ConfigError, DatasetError
from vultus.worlds import EMOTIONS, MIRROR_68, Head, Material, Part, load_head
from vultus.worlds.heads import mirror_of


def neutral(head: Head) -> np.ndarray:
    return np.zeros(len(head.expression_names), np.float32)


def points(head: Head, **weights: float) -> np.ndarray:
    """The 68 points of the mean identity, (68, 3)."""
    return head.vertices(np.zeros((1, 1)), head.weights(weights)[None])[0][head.landmarks]


def test_arrays_have_the_promised_shapes(head: Head) -> None:
    v, f = len(head.neutral), len(head.triangles)
    assert head.neutral.shape == (v, 3)
    assert head.neutral.dtype == np.float32
    assert head.triangles.min() == 0
    assert head.triangles.max() < v
    assert head.uv.shape == (v, 2)
    assert ((head.uv >= 0) & (head.uv <= 1)).all()
    assert head.material.shape == (f,)
    assert head.parts.shape == head.occlusion.shape == (v,)
    assert head.identity_basis.shape[1:] == head.expression_basis.shape[1:] == (v, 3)
    for array in (head.neutral, head.identity_basis, head.expression_basis):
        assert np.isfinite(array).all()


def test_there_are_enough_ways_to_differ(head: Head) -> None:
    assert head.symmetric >= 40
    assert len(head.expression_names) >= 20
    moved = np.abs(head.identity_basis).max((1, 2))
    assert (moved > 0.01).all(), "an identity direction that moves nothing"


def test_every_emotion_uses_expressions_that_the_head_has(head: Head) -> None:
    for weights in EMOTIONS.values():
        assert len(head.weights(weights)) == len(head.expression_names)


def test_the_head_is_mirror_symmetric(head: Head) -> None:
    flip = np.array([-1, 1, 1], np.float32)
    assert np.abs(head.neutral[head.mirror] * flip - head.neutral).max() < 0.06
    for field in head.identity_basis[: head.symmetric]:
        assert np.abs(field[head.mirror] * flip - field).max() < 0.2
    assert (head.landmarks[list(MIRROR_68)] == head.mirror[head.landmarks]).mean() > 0.9


def test_antisymmetric_directions_change_sign_in_the_mirror(procedural: Head) -> None:
    flip = np.array([-1, 1, 1], np.float32)
    for field in procedural.identity_basis[procedural.symmetric :]:
        assert np.abs(field[procedural.mirror] * flip + field).max() < 1e-3


def test_vertices_are_linear_in_the_coefficients(head: Head, rng: np.random.Generator) -> None:
    a = rng.standard_normal(head.identities).astype(np.float32)
    rest = neutral(head)
    once = head.vertices(a[None], rest[None])[0] - head.neutral
    twice = head.vertices(2 * a[None], rest[None])[0] - head.neutral
    np.testing.assert_allclose(twice, 2 * once, atol=2e-4)


def test_a_batch_gives_the_bytes_of_single_calls(head: Head, rng: np.random.Generator) -> None:
    a = rng.standard_normal((3, head.identities)).astype(np.float32)
    w = rng.random((3, len(head.expression_names))).astype(np.float32)
    together = head.vertices(a, w)
    for i in range(3):
        assert np.array_equal(together[i], head.vertices(a[i : i + 1], w[i : i + 1])[0])


def test_landmarks_lie_where_anatomy_puts_them(head: Head) -> None:
    p = points(head)
    assert p[8, 1] == p[:, 1].min(), "the chin is lowest"
    assert p[30, 2] == p[:, 2].max(), "the tip of the nose is foremost"
    assert (p[36:42, 0] < 0).all(), "points 36 to 41 are the image's left eye"
    assert (p[42:48, 0] > 0).all()
    assert p[36, 0] < p[39, 0] < p[42, 0] < p[45, 0]
    assert p[17:27, 1].min() > p[36:48, 1].max(), "brows above eyes"
    assert p[48, 0] < p[54, 0]
    assert p[51, 1] > p[57, 1], "upper lip above lower"
    gap = np.linalg.norm(p[42:48].mean(0) - p[36:42].mean(0))
    assert 5.4 < gap < 7.2, "pupils about 6.3 cm apart"


def test_landmarks_carry_the_part_that_they_mark(head: Head) -> None:
    def share(which: range, *allowed: Part) -> float:
        return float(np.isin(head.parts[head.landmarks[list(which)]], allowed).mean())

    assert share(range(17, 22), Part.LEFT_BROW) >= 0.8
    assert share(range(22, 27), Part.RIGHT_BROW) >= 0.8
    assert share(range(28, 36), Part.NOSE) >= 0.8
    lips = (Part.UPPER_LIP, Part.LOWER_LIP, Part.INNER_MOUTH, Part.SKIN)
    assert share(range(48, 68), *lips) == 1.0


def test_eyes_teeth_and_mouth_are_there(head: Head) -> None:
    for material in (Material.SKIN, Material.EYE, Material.TEETH, Material.MOUTH):
        assert (head.material == material).sum() > 50, material
    for part in (Part.LEFT_EYE, Part.RIGHT_EYE, Part.INNER_MOUTH):
        assert (head.parts == part).any(), part
    assert head.neutral[head.parts == Part.LEFT_EYE][:, 0].max() < 0


def test_blinking_closes_the_eyes(head: Head) -> None:
    def opening(p: np.ndarray) -> float:
        return float((p[[37, 38, 43, 44], 1] - p[[41, 40, 47, 46], 1]).mean())

    assert opening(points(head, eyeBlink=1.0)) < 0.35 * opening(points(head))
    assert opening(points(head, eyeWide=1.0)) > 1.1 * opening(points(head))


def test_opening_the_jaw_parts_the_lips(head: Head) -> None:
    rest, opened = points(head), points(head, jawOpen=1.0)
    assert opened[62, 1] - opened[66, 1] > rest[62, 1] - rest[66, 1] + 1.0
    assert rest[8, 1] - opened[8, 1] > 0.8, "the chin drops"
    assert np.abs(opened[36:48] - rest[36:48]).max() < 0.15, "the eyes stay"


def test_smiling_lifts_and_widens_the_mouth(head: Head) -> None:
    rest, smile = points(head), points(head, mouthSmile=1.0)
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0] + 0.4
    assert smile[[48, 54], 1].mean() > rest[[48, 54], 1].mean() + 0.2


def test_one_sided_expressions_move_the_persons_left(head: Head) -> None:
    rest, wink = points(head), points(head, eyeBlink_L=1.0)
    shift = np.abs(wink - rest).max(1)
    assert shift[42:48].max() > 0.3, "the person's left is the image's right"
    assert shift[36:42].max() < 0.05


def test_eyes_turn_the_same_way(procedural: Head) -> None:
    rest = neutral(procedural)
    both = procedural.weights({"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0})
    shift = (
        procedural.vertices(np.zeros((1, 1)), both[None])
        - procedural.vertices(np.zeros((1, 1)), rest[None])
    )[0]
    for part in (Part.LEFT_EYE, Part.RIGHT_EYE):
        pupil = procedural.neutral[:, 2] > 9.2
        assert shift[(procedural.parts == part) & pupil][:, 0].min() > 0.2, "to the image's right"


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"eyebrowDance": 0.5}, "eyebrowDance"), ({"jawOpen": 1.5}, r"\[0, 1\]")],
)
def test_bad_expressions_are_refused(
    procedural: Head, weights: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        procedural.weights(weights)


def test_wrong_numbers_of_coefficients_are_refused(procedural: Head) -> None:
    with pytest.raises(ConfigError, match="identity coefficients"):
        procedural.vertices(np.zeros((1, 500)), neutral(procedural)[None])
    with pytest.raises(ConfigError, match="expression weights"):
        procedural.vertices(np.zeros((1, 3)), np.zeros((1, 2)))


def test_unknown_heads_are_refused(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="procedural, ict"):
        load_head("statue")
    with pytest.raises(ConfigError, match="low, high"):
        load_head("procedural", "extreme")
    monkeypatch.setenv("VULTUS_DATA", str(tmp_path))
    monkeypatch.setenv("VULTUS_HOME", str(tmp_path))
    with pytest.raises(DatasetError, match="VULTUS_DATA"):
        load_head("ict", "low")


def test_detail_changes_density_not_proportions(procedural: Head) -> None:
    high = load_head("procedural", "high")
    assert len(high.triangles) > 2 * len(procedural.triangles)
    assert high.identities == procedural.identities
    a, b = high.neutral[high.landmarks], procedural.neutral[procedural.landmarks]
    assert np.linalg.norm(a - b, axis=1).mean() < 0.15


def test_a_lopsided_cloud_has_no_mirror() -> None:
    with pytest.raises(ConfigError, match="not symmetric"):
        mirror_of(np.array([[1.0, 0, 0], [-1.0, 0.5, 0]], np.float32))
