"""The renderer against geometry that can be computed by hand, and labels against the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vultus.errors import ConfigError
from vultus.worlds import (
    MIRROR_68,
    Atlas,
    Camera,
    Head,
    Lighting,
    Material,
    Mesh,
    Part,
    View,
    angles,
    draw,
    paint,
    rotation,
    sample_appearance,
)
from vultus.worlds.camera import PIVOT
from vultus.worlds.paint import mirrored_atlas
from vultus.worlds.render import face_outline

GREY = Atlas(np.full((64, 64, 3), 0.5, np.float32), np.ones((64, 64), np.uint8))


def mesh_of(points: np.ndarray, triangles: np.ndarray, uv: np.ndarray | None = None) -> Mesh:
    """A bare skin mesh whose points are given about the pivot."""
    n = len(points)
    return Mesh(
        (points + PIVOT).astype(np.float32),
        triangles.astype(np.int32),
        np.full((n, 2), 0.5, np.float32) if uv is None else uv.astype(np.float32),
        np.full(len(triangles), Material.SKIN, np.uint8),
        np.full(n, Part.SKIN, np.uint8),
        np.ones(n, np.float32),
    )


def sphere(radius: float, rows: int = 90, columns: int = 180) -> Mesh:
    theta = np.linspace(0, np.pi, rows)
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    unit = np.stack([np.sin(t) * np.cos(p), np.cos(t), np.sin(t) * np.sin(p)], -1)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1], np.roll(index[:-1], -1, 1)
    c, d = np.roll(index[1:], -1, 1), index[1:]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    return mesh_of(radius * unit.reshape(-1, 3), triangles)


def drawn(mesh: Mesh, camera: Camera, light: Lighting, size: int = 96, **options: object) -> View:
    marks = np.zeros(68, np.int32)
    pose = options.pop("pose", (0.0, 0.0, 0.0))
    atlas = options.pop("atlas", GREY)
    return draw(
        mesh,
        atlas,  # type: ignore[arg-type]
        marks,
        np.arange(len(mesh.vertices), dtype=np.int32),
        pose=pose,  # type: ignore[arg-type]
        camera=camera,
        lighting=light,
        size=size,
        **options,  # type: ignore[arg-type]
    )


def portrait(head: Head, light: Lighting, camera: Camera, **options: object) -> View:
    """A painted mean head."""
    pose = options.pop("pose", (0.0, 0.0, 0.0))
    coefficients = options.pop("identity", np.zeros(1))
    weights = options.pop("weights", np.zeros(len(head.expression_names), np.float32))
    atlas = options.pop("atlas", None) or paint(
        head, sample_appearance(np.random.default_rng(2), 2), 256
    )
    vertices = head.vertices(np.atleast_2d(coefficients), np.atleast_2d(weights))[0]  # type: ignore[arg-type]
    mesh = Mesh(vertices, head.triangles, head.uv, head.material, head.parts, head.occlusion)
    return draw(
        mesh,
        atlas,  # type: ignore[arg-type]
        head.landmarks,
        face_outline(head.neutral, head.parts, head.landmarks),
        pose=pose,  # type: ignore[arg-type]
        camera=camera,
        lighting=light,
        size=int(options.pop("size", 160)),  # type: ignore[call-overload]
    )


def rays(camera: Camera, size: int) -> np.ndarray:
    """Directions (S, S, 3) with z = -1 through pixel centres, in the camera frame."""
    pixel = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(pixel / camera.focal(size), -pixel / camera.focal(size))
    return np.stack([x, y, -np.ones_like(x)], -1)


def test_depth_and_normals_of_a_sphere_are_exact(plain_light: Lighting) -> None:
    radius, camera = 8.0, Camera(40.0, 0.8)
    view = drawn(sphere(radius), camera, plain_light)
    d = rays(camera, 96)
    # |o + t d|^2 = r^2 with o = (0, 0, distance); depth equals t because d_z = -1.
    a, b = (d**2).sum(-1), -camera.distance
    c = camera.distance**2 - radius**2
    root = b * b - a * c
    inside = root > 12.0
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    assert np.isfinite(view.depth[inside]).all()
    assert np.isinf(view.depth[root < 0]).all()
    np.testing.assert_allclose(view.depth[inside], t[inside], atol=0.02)
    normal = (np.array([0, 0, camera.distance]) + t[..., None] * d) / radius
    assert (np.abs(view.normals - normal)[inside] < 0.03).all()


def test_attributes_are_perspective_correct(plain_light: Lighting) -> None:
    corners = np.array([(-6, -6, -9), (6, -6, 9), (6, 6, 9), (-6, 6, -9)], float)
    uv = np.array([(0.3, 0.1), (0.7, 0.1), (0.7, 0.7), (0.3, 0.7)])
    ramp = np.zeros((512, 512, 3), np.float32)
    ramp[:] = ((np.arange(512) + 0.5) / 512)[None, :, None]
    camera = Camera(40.0, 0.8)
    view = drawn(
        mesh_of(corners, np.array([(0, 1, 2), (0, 2, 3)]), uv),
        camera,
        replace(
            plain_light,
            directions=np.empty((0, 3), np.float32),
            colours=np.empty((0, 3), np.float32),
        ),
        atlas=Atlas(ramp, np.ones((64, 64), np.uint8)),
        samples=1,
    )
    on = np.isfinite(view.depth)
    x = rays(camera, 96)[..., 0] * view.depth
    expected = 0.3 + 0.4 * (x + 6) / 12
    assert on.sum() > 500
    np.testing.assert_allclose(view.radiance[..., 0][on] / 0.3, expected[on], atol=0.01)


def test_the_nearer_surface_wins_in_any_order(plain_light: Lighting) -> None:
    square = np.array([(-5, -5, 0), (5, -5, 0), (5, 5, 0), (-5, 5, 0)], float)
    two = np.concatenate([square, square * 0.5 + [0, 0, 4]])
    faces = np.array([(0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7)])
    camera = Camera(50.0, 0.8)
    a = drawn(mesh_of(two, faces), camera, plain_light).depth
    b = drawn(mesh_of(two, faces[::-1]), camera, plain_light).depth
    assert a[48, 48] == pytest.approx(46.0, abs=1e-3)
    np.testing.assert_array_equal(a, b)


def test_edges_are_antialiased(plain_light: Lighting) -> None:
    coverage = drawn(sphere(8.0), Camera(40.0, 0.8), plain_light, samples=2).radiance[..., 3]
    assert {0.25, 0.5, 0.75} & set(np.unique(coverage).tolist())
    hard = drawn(sphere(8.0), Camera(40.0, 0.8), plain_light, samples=1).radiance[..., 3]
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert abs(coverage.sum() - hard.sum()) < 0.02 * hard.sum()


def test_lambert_on_a_plane_follows_the_angle(plain_light: Lighting) -> None:
    square = np.array([(-9, -9, 0), (9, -9, 0), (9, 9, 0), (-9, 9, 0)], float)
    mesh = mesh_of(square, np.array([(0, 1, 2), (0, 2, 3)]))
    cloth = replace(mesh, material=np.full(2, Material.CLOTH, np.uint8))
    values = []
    for degrees in (0, 40, 80):
        a = np.deg2rad(degrees)
        light = replace(
            plain_light,
            directions=np.array([[np.sin(a), 0, np.cos(a)]], np.float32),
            sky=np.zeros(3, np.float32),
            ground=np.zeros(3, np.float32),
        )
        values.append(float(drawn(cloth, Camera(70.0, 1.5), light).radiance[48, 48, 0]))
    assert values[0] > values[1] > values[2] > 0
    assert values[1] / values[0] == pytest.approx(np.cos(np.deg2rad(40)), abs=0.08)


def test_a_shadow_falls_away_from_the_light(plain_light: Lighting) -> None:
    floor = np.array([(-14, -14, 0), (14, -14, 0), (14, 14, 0), (-14, 14, 0)], float)
    post = np.array([(-1, -9, 5), (1, -9, 5), (1, 9, 5), (-1, 9, 5)], float)
    faces = np.array([(0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7)])
    light = replace(
        plain_light, directions=np.array([[0.7071, 0, 0.7071]], np.float32), shadows=True
    )
    row = drawn(mesh_of(np.concatenate([floor, post]), faces), Camera(120.0, 1.0), light, 128)
    line = row.radiance[64, :, 0]
    camera = Camera(120.0, 1.0)
    left = round(float(camera.project(np.array([-5.0, 0, 0], np.float32), 128)[0]))
    right = round(float(camera.project(np.array([5.0, 0, 0], np.float32), 128)[0]))
    assert line[left] < 0.7 * line[right], "light from the right, shadow on the left"


@pytest.mark.parametrize("pose", [(0, 0, 0), (35, -10, 20), (-60, 25, -40)])
def test_angles_invert_rotation(pose: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(angles(rotation(*pose)), pose, atol=1e-6)


def test_pose_signs_are_the_houses(procedural: Head, plain_light: Lighting, camera: Camera) -> None:
    def nose_from_ears(pose: tuple[float, float, float]) -> np.ndarray:
        view = portrait(procedural, plain_light, camera, pose=pose)
        return view.landmarks[30] - (view.landmarks[0] + view.landmarks[16]) / 2

    level = nose_from_ears((0, 0, 0))
    assert nose_from_ears((25, 0, 0))[0] > level[0] + 5, "yaw > 0: nose to the image's right"
    assert nose_from_ears((0, 20, 0))[1] < level[1] - 5, "pitch > 0: nose up"
    rolled = portrait(procedural, plain_light, camera, pose=(0, 0, 25)).keypoints
    assert rolled[1, 1] > rolled[0, 1] + 5, "roll > 0: clockwise, the right eye sinks"


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (25.0, 10.0, -15.0)])
def test_points_fall_on_the_parts_they_mark(
    head: Head, plain_light: Lighting, camera: Camera, pose: tuple[float, float, float]
) -> None:
    view = portrait(head, plain_light, camera, pose=pose)

    def found(points: range, *parts: Part) -> float:
        hits = []
        for i in points:
            if not view.visible[i]:
                continue
            x, y = np.round(view.landmarks[i]).astype(int)
            around = view.parts[y - 1 : y + 2, x - 1 : x + 2]
            hits.append(np.isin(around, parts).any())
        return float(np.mean(hits))

    assert found(range(17, 22), Part.LEFT_BROW) >= 0.8
    assert found(range(22, 27), Part.RIGHT_BROW) >= 0.8
    assert found(range(36, 42), Part.LEFT_EYE) >= 0.8
    assert found(range(42, 48), Part.RIGHT_EYE) >= 0.8
    assert found(range(28, 36), Part.NOSE) >= 0.85
    assert found(range(49, 54), Part.UPPER_LIP) == 1.0
    assert found(range(55, 60), Part.LOWER_LIP) == 1.0
    assert found(range(17), Part.SKIN) >= 0.9


def test_an_open_mouth_shows_its_inside(head: Head, plain_light: Lighting, camera: Camera) -> None:
    shut = portrait(head, plain_light, camera)
    wide = portrait(head, plain_light, camera, weights=head.weights({"jawOpen": 1.0}))
    inside = [(v.parts == Part.INNER_MOUTH).sum() for v in (shut, wide)]
    assert inside[1] > 100 > 3 * inside[0]


def test_a_profile_hides_the_far_side(head: Head, plain_light: Lighting, camera: Camera) -> None:
    view = portrait(head, plain_light, camera, pose=(70, 0, 0))
    assert view.visible[36:42].mean() > 0.8, "the left eye turns to the viewer"
    assert view.visible[42:48].mean() < 0.4
    assert view.visible[30]


def test_projected_space_points_are_the_picture_points(
    procedural: Head, plain_light: Lighting, camera: Camera
) -> None:
    view = portrait(procedural, plain_light, camera, pose=(20, 5, 10))
    np.testing.assert_allclose(
        camera.project(view.landmarks3d, 160)[:, :2], view.landmarks, atol=1e-3
    )


def test_the_box_holds_the_face_and_not_the_neck(
    head: Head, plain_light: Lighting, camera: Camera
) -> None:
    view = portrait(head, plain_light, camera)
    x1, y1, x2, y2 = view.box
    assert (view.landmarks >= [x1 - 1, y1 - 1]).all()
    assert (view.landmarks <= [x2 + 1, y2 + 1]).all()
    assert y2 - view.landmarks[8, 1] < 0.05 * (y2 - y1), "the chin is the lower edge"
    assert view.landmarks[19, 1] - y1 < 0.45 * (y2 - y1)


def test_a_mirrored_head_gives_a_mirrored_picture(procedural: Head, camera: Camera) -> None:
    rng = np.random.default_rng(5)
    identity = 0.7 * rng.standard_normal(procedural.identities)
    other = identity.copy()
    other[procedural.symmetric :] *= -1
    weights = procedural.weights({"mouthSmile_L": 0.8, "browDown_R": 0.7})
    swapped = procedural.weights({"mouthSmile_R": 0.8, "browDown_L": 0.7})
    atlas = paint(procedural, sample_appearance(rng, 9), 256)
    light = Lighting(
        np.array([[0.6, 0.3, 0.742]], np.float32),
        np.array([[1.2, 1.1, 1.0]], np.float32),
        np.full(3, 0.3, np.float32),
        np.full(3, 0.1, np.float32),
        shadows=False,
    )
    opposite = replace(light, directions=light.directions * np.array([-1, 1, 1], np.float32))
    a = portrait(
        procedural, light, camera, pose=(20, 5, 8), identity=identity, weights=weights, atlas=atlas
    )
    b = portrait(
        procedural,
        opposite,
        camera,
        pose=(-20, 5, -8),
        identity=other,
        weights=swapped,
        atlas=mirrored_atlas(atlas),
    )
    flipped = b.radiance[:, ::-1]
    assert np.abs(a.radiance - flipped).mean() < 0.004
    np.testing.assert_allclose(a.landmarks[:, 1], b.landmarks[list(MIRROR_68), 1], atol=0.05)
    np.testing.assert_allclose(a.landmarks[:, 0], 159 - b.landmarks[list(MIRROR_68), 0], atol=0.05)
    swap = np.array([0, 1, 3, 2, 5, 4, 6, 7, 8, 9, 10], np.uint8)
    assert (a.parts == swap[b.parts[:, ::-1]]).mean() > 0.99


@pytest.mark.parametrize("size", [4, 100_000])
def test_impossible_sizes_are_refused(plain_light: Lighting, size: int) -> None:
    with pytest.raises(ConfigError, match="cannot draw"):
        drawn(sphere(5.0, 8, 8), Camera(), plain_light, size)


@pytest.mark.parametrize("values", [{"distance": 3.0}, {"fill": 0.0}])
def test_impossible_cameras_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="camera"):
        Camera(**values)
