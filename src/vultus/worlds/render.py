"""Draw one scene: colour, depth, normals, parts, points and visibility in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.camera import PIVOT, Camera, rotation
from vultus.worlds.chart import Material, Part

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

NEAR = 1.0
SHADOW_SIZE = 160

#: Centimetres by which a landmark may lie behind the drawn surface and still count as seen.
DEPTH_TOLERANCE = 0.5

_EYES = (list(range(36, 42)), list(range(42, 48)))


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Everything that is drawn, in the head frame: head, hair, glasses, hat.

    Fields are as in :class:`~vultus.worlds.heads.Head`; vertices are those of one face.
    """

    vertices: FloatArray
    triangles: IntArray
    uv: FloatArray
    material: UInt8Array
    parts: UInt8Array
    occlusion: FloatArray

    def joined(self, other: Mesh) -> Mesh:
        """Return this mesh with another appended; vertex numbers of this one are kept."""
        return Mesh(
            np.concatenate([self.vertices, other.vertices]),
            np.concatenate([self.triangles, other.triangles + np.int32(len(self.vertices))]),
            np.concatenate([self.uv, other.uv]),
            np.concatenate([self.material, other.material]),
            np.concatenate([self.parts, other.parts]),
            np.concatenate([self.occlusion, other.occlusion]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """Distant lights and ambient light, in the camera frame, linear radiance.

    Parameters
    ----------
    directions
        float32 (L, 3) unit vectors toward the lights; the first may cast shadows.
    colours
        float32 (L, 3).
    sky, ground
        float32 (3,) ambient from above and below.
    shadows
        Whether the first light casts shadows.
    """

    directions: FloatArray
    colours: FloatArray
    sky: FloatArray
    ground: FloatArray
    shadows: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """What is painted on the mesh.

    Parameters
    ----------
    colour
        float32 (T, T, 3) linear reflectance in [0, 1].
    labels
        uint8 (T', T') part of the skin at each texel.
    gloss
        Factor on the highlight of skin; 1 is average.
    """

    colour: FloatArray
    labels: UInt8Array
    gloss: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One drawn scene with its labels.

    Parameters
    ----------
    radiance
        float32 (S, S, 4): linear RGB premultiplied with coverage, and coverage in [0, 1].
    depth
        float32 (S, S) centimetres along the optical axis; infinite on the background.
    normals
        float32 (S, S, 3) in the camera frame, zero on the background.
    parts
        uint8 (S, S), :class:`~vultus.worlds.chart.Part`; what glasses cover keeps its part.
    occluded
        bool (S, S), where glasses or a hat lie over the head.
    infrared
        float32 (S, S, 2) near-infrared radiance under a light beside the camera, premultiplied
        with coverage, and coverage; None if no infrared atlas was given.
    landmarks, landmarks3d
        float32 (68, 2) pixels; (68, 3) centimetres in the camera frame.
    visible
        bool (68,): inside the picture and not hidden.
    box
        float32 (4,): tight around the face, ear to ear and chin to hairline, in pixels.
    keypoints
        float32 (5, 2) in the order of :class:`~vultus.faces.Face`.
    """

    radiance: FloatArray
    depth: FloatArray
    normals: FloatArray
    parts: UInt8Array
    occluded: BoolArray
    infrared: FloatArray | None
    landmarks: FloatArray
    landmarks3d: FloatArray
    visible: BoolArray
    box: FloatArray
    keypoints: FloatArray


#: The infrared illuminator: frontal, with a little ambient.
FLASH = Lighting(
    np.array([[0.0, 0.05, 0.99875]], np.float32),
    np.array([[0.95, 0.95, 0.95]], np.float32),
    np.full(3, 0.06, np.float32),
    np.full(3, 0.05, np.float32),
    shadows=False,
)


def draw(
    mesh: Mesh,
    atlas: Atlas,
    landmarks: IntArray,
    outline: IntArray,
    *,
    pose: tuple[float, float, float],
    camera: Camera,
    lighting: Lighting,
    size: int,
    samples: int = 2,
    infrared: Atlas | None = None,
) -> View:
    """Draw a mesh.

    Parameters
    ----------
    mesh
        In the head frame.
    atlas
        Its paint and skin labels.
    landmarks
        int32 (68,) vertices.
    outline
        Vertices whose projection spans the face box.
    pose
        Yaw, pitch, roll in degrees, see :func:`~vultus.worlds.camera.rotation`.
    camera, lighting
        Where from and how lit.
    size
        Side of the picture in pixels, at least 8.
    samples
        Colour samples per pixel side. Labels are taken at pixel centres.
    infrared
        Paint of the near-infrared picture, if one is wanted; its first channel counts.

    Raises
    ------
    ConfigError
        If the size or the number of samples is out of range.
    """
    from vultus.worlds.raster import rasterise, vertex_normals
    from vultus.worlds.shading import SURFACES, average, shade, surface_labels

    if not 8 <= size <= 4096 or not 1 <= samples <= 8:
        raise ConfigError(f"cannot draw {size} pixels with {samples} samples per side")
    turned = ((mesh.vertices - PIVOT) @ rotation(*pose).T).astype(np.float32)
    screen = camera.project(turned, size)
    normals = vertex_normals(turned, mesh.triangles)
    shadow, to_shadow = _shadow(mesh, turned, lighting)
    owner, _, weights = rasterise(screen, mesh.triangles, size, samples, NEAR)
    eye = np.array([0, 0, camera.distance], np.float32)

    def lit(atlas: Atlas, light: Lighting, cast: FloatArray, to_cast: FloatArray) -> FloatArray:
        fine = shade(
            owner,
            weights,
            turned,
            normals,
            mesh.triangles,
            mesh.uv,
            mesh.material,
            mesh.occlusion,
            atlas.colour,
            eye,
            light.directions,
            light.colours,
            light.sky,
            light.ground,
            cast,
            to_cast,
            SURFACES,
            atlas.gloss,
        )
        return average(fine, samples)

    radiance = lit(atlas, lighting, shadow, to_shadow)
    beside = None
    if infrared is not None:
        none = np.empty((0, 0), np.float32), np.zeros((3, 4), np.float32)
        beside = lit(infrared, FLASH, *none)[..., [0, 3]]
    owner, depth, weights = rasterise(screen, mesh.triangles, size, 1, NEAR)
    covering = np.isin(mesh.material, (Material.FRAME, Material.LENS, Material.CLOTH))
    occluded = (owner >= 0) & covering[owner]
    worn = np.isin(mesh.material, (Material.FRAME, Material.LENS))
    if worn.any():
        bare = np.ascontiguousarray(mesh.triangles[~worn])
        below, _, below_weights = rasterise(screen, bare, size, 1, NEAR)
        owner = np.where(below >= 0, np.flatnonzero(~worn)[below].astype(np.int32), -1)
        weights = below_weights
    parts, normal = surface_labels(
        owner,
        weights,
        normals,
        mesh.triangles,
        mesh.uv,
        mesh.material,
        mesh.parts,
        atlas.labels,
    )
    points = screen[landmarks]
    return View(
        radiance=radiance,
        depth=depth,
        normals=normal,
        parts=parts,
        occluded=occluded,
        infrared=beside,
        landmarks=points[:, :2].copy(),
        landmarks3d=turned[landmarks],
        visible=_seen(points, depth),
        box=_box(screen[outline]),
        keypoints=five_points(points[:, :2]),
    )


def five_points(landmarks: FloatArray) -> FloatArray:
    """Return the five keypoints, float32 (..., 5, 2), of 68 points (..., 68, 2)."""
    eyes = [landmarks[..., e, :].mean(-2) for e in _EYES]
    rest = [landmarks[..., i, :] for i in (30, 48, 54)]
    return np.stack([*eyes, *rest], -2).astype(np.float32)


def face_outline(neutral: FloatArray, parts: UInt8Array, landmarks: IntArray) -> IntArray:
    """Return the vertices that span the face box: skin in front of the ears, below the hairline."""
    jaw = neutral[landmarks[:17]]
    chin, brow = jaw[8, 1], neutral[landmarks[17:27], 1].max()
    hairline = brow + 0.33 * (brow - chin)
    y, z = neutral[:, 1], neutral[:, 2]
    depth = jaw[[0, 16], 2].mean() - 0.5
    inside = (y < hairline) & (y > chin - 0.3) & (z > depth) & (parts != Part.BACKGROUND)
    return np.flatnonzero(inside).astype(np.int32)


def _box(screen: FloatArray) -> FloatArray:
    low, high = screen[:, :2].min(0), screen[:, :2].max(0)
    # The box reaches to the outer edges of its pixels, whose centres have whole coordinates.
    return np.concatenate([low, high]).astype(np.float32)


def _seen(points: FloatArray, depth: FloatArray) -> BoolArray:
    size = len(depth)
    column, row = np.round(points[:, 0]).astype(int), np.round(points[:, 1]).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    padded = np.pad(depth, 1, mode="edge")
    furthest = np.full(len(points), -np.inf, np.float32)
    c, r = np.clip(column, 0, size - 1), np.clip(row, 0, size - 1)
    for dy in range(3):
        for dx in range(3):
            furthest = np.maximum(furthest, padded[r + dy, c + dx])
    return np.asarray(inside & (points[:, 2] <= furthest + DEPTH_TOLERANCE), np.bool_)


def _shadow(mesh: Mesh, turned: FloatArray, lighting: Lighting) -> tuple[FloatArray, FloatArray]:
    from vultus.worlds.raster import depth_map

    if not lighting.shadows or not len(lighting.directions):
        return np.empty((0, 0), np.float32), np.zeros((3, 4), np.float32)
    towards = lighting.directions[0].astype(np.float64)
    side = np.cross([0.1, 1.0, 0.2], towards)
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(towards, side), -towards])
    middle = turned.mean(0)
    reach = float(np.sqrt(((turned - middle) ** 2).sum(1).max())) * 1.02
    scale = SHADOW_SIZE / (2 * reach)
    to_shadow = np.zeros((3, 4))
    to_shadow[:, :3] = frame * np.array([[scale], [scale], [1.0]])
    to_shadow[:, 3] = -to_shadow[:, :3] @ middle + np.array([1, 1, 0]) * (SHADOW_SIZE - 1) / 2
    projection = to_shadow.astype(np.float32)
    local = turned @ projection[:, :3].T + projection[:, 3]
    return depth_map(local.astype(np.float32), mesh.triangles, SHADOW_SIZE), projection
