"""Skin from photographs: a head is fitted to a face's 68 points, and the colours go to its atlas.

The light of the photograph is taken out as far as a smooth function of the surface normal explains
it; what one side of the face hides comes from the other. Only the face is covered: painted skin of
the same tone goes on where the photograph ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError, DatasetError
from vultus.worlds.chart import Material
from vultus.worlds.heads import FloatArray, Head
from vultus.worlds.noise import linear, srgb
from vultus.writing import replacing

UInt8Array = NDArray[np.uint8]

#: Deviation of the points, as a share of the face's height, that the fit puts up with.
_NOISE = 0.01

#: How far an expression is expected to be from rest.
_EXPRESSION = 0.3

#: Degrees of yaw up to which the points of the jaw lie where the head has them.
_FRONTAL = 25.0

#: Side of the picture in which hidden surfaces are found.
_SIDE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """Skin in the coordinates of :func:`~vultus.worlds.chart.skin_chart`.

    Parameters
    ----------
    colour
        float32 (T, T, 3) linear reflectance in [0, 1].
    cover
        float32 (T, T) in [0, 1]: where it counts; elsewhere painted skin is used.
    """

    colour: FloatArray
    cover: FloatArray

    def __post_init__(self) -> None:
        side = len(self.colour)
        if self.colour.shape != (side, side, 3) or self.cover.shape != (side, side):
            raise ConfigError(
                "a texture has colour (T, T, 3) and cover (T, T), got "
                f"{self.colour.shape} and {self.cover.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A head as a photograph shows it.

    Parameters
    ----------
    vertices
        float32 (V, 3) in the head frame.
    screen
        float32 (V, 2) pixels of the photograph.
    depth
        float32 (V,) centimetres away from the viewer, from an arbitrary zero.
    normals
        float32 (V, 3) in the camera frame.
    yaw
        Degrees.
    """

    vertices: FloatArray
    screen: FloatArray
    depth: FloatArray
    normals: FloatArray
    yaw: float


def project_photo(
    head: Head, picture: UInt8Array, landmarks: ArrayLike, *, size: int = 256
) -> Texture:
    """Return the skin of a photographed face.

    Parameters
    ----------
    head
        Gives shape and chart; the texture fits every head, since all share the chart.
    picture
        uint8 (H, W, 3) RGB.
    landmarks
        (68, 2) iBUG points in pixels.
    size
        Side of the texture in texels.

    Raises
    ------
    ConfigError
        If the picture or the points have another shape, or the points do not span a face.
    """
    from vultus.worlds.raster import rasterise

    points = np.asarray(landmarks, np.float32)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ConfigError(f"a photograph is uint8 (H, W, 3), got {picture.dtype} {picture.shape}")
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ConfigError(f"a photograph needs 68 finite points (68, 2), got {points.shape}")
    fitted = fit_head(head, points)
    skin = head.triangles[head.material == Material.SKIN]
    # Triangles across the seam at the back of the head would fill whole rows.
    skin = np.ascontiguousarray(skin[np.ptp(head.uv[skin][..., 0], axis=1) < 0.5])
    flat = np.concatenate([head.uv * size - 0.5, np.ones((len(head.uv), 1))], 1)
    owner, _, weights = rasterise(flat.astype(np.float32), skin, size, 1, 0.5)
    owned = owner >= 0
    corners = skin[np.where(owned, owner, 0)]
    shares = np.concatenate([weights, 1 - weights.sum(2, keepdims=True)], 2)

    def carried(values: FloatArray) -> FloatArray:
        flat = values.reshape(len(values), -1)
        return np.asarray((shares[..., None] * flat[corners]).sum(2), np.float32)

    place, depth, normals = (carried(v) for v in (fitted.screen, fitted.depth, fitted.normals))
    seen = _facing(normals) * _unhidden(head, fitted, place, depth[..., 0])
    seen = seen * owned * _inside(picture.shape, place, points) * _face(head, size)
    colour = _unlit(_colours(picture, place, points, head, size), normals, seen)
    return _completed(colour, np.asarray(seen, np.float32))


def fit_head(head: Head, landmarks: FloatArray) -> Fitted:
    """Fit shape, expression and a distant camera to 68 points, then bend what is left over.

    Pose and coefficients are solved for in turn, both by least squares with the prior of
    :func:`~vultus.worlds.people.person`; what remains at the points is interpolated in the picture
    by a thin-plate spline, so that eyes, nose and mouth come to lie on the photographed ones.

    Raises
    ------
    ConfigError
        If the points do not span a face.
    """
    from scipy.interpolate import RBFInterpolator

    from vultus.worlds.raster import vertex_normals

    extent = np.ptp(landmarks, axis=0)
    if extent.min() < 4:
        raise ConfigError(f"68 points that span {extent.tolist()} pixels are no face")
    up = landmarks.astype(np.float64) * [1, -1]
    basis = np.concatenate([head.identity_basis, head.expression_basis]).astype(np.float64)
    spread = np.concatenate(
        [
            np.full(head.symmetric, 0.85),
            np.full(head.identities - head.symmetric, 0.35),
            np.full(len(head.expression_basis), _EXPRESSION),
        ]
    )
    lowest = np.r_[np.full(head.identities, -2.2), np.zeros(len(head.expression_basis))]
    highest = np.r_[np.full(head.identities, 2.2), np.ones(len(head.expression_basis))]
    trust = np.ones(68)
    coefficients = np.zeros(len(basis))
    marked = basis[:, head.landmarks]
    for _ in range(5):
        shape = head.neutral[head.landmarks] + np.tensordot(coefficients, marked, 1)
        turn, scale, shift = _pose(shape, up, trust)
        yaw = float(np.rad2deg(np.arctan2(turn[0, 2], turn[2, 2])))
        # The jaw's points slide along the outline of a turned head.
        trust[:17] = 0.3 if abs(yaw) < _FRONTAL else 0.05
        wanted = (up - shift) / scale - (head.neutral[head.landmarks] @ turn[:2].T)
        effect = (marked @ turn[:2].T).reshape(len(basis), -1)
        weight = np.repeat(trust, 2) / (_NOISE * extent[1] / scale) ** 2
        normal = (effect * weight) @ effect.T + np.diag(spread**-2.0)
        solved = np.linalg.solve(normal, (effect * weight) @ wanted.ravel())
        coefficients = np.clip(solved, lowest, highest)
    vertices = head.neutral + np.tensordot(coefficients, basis, 1)
    turned = vertices @ turn.T
    screen = (turned[:, :2] * scale + shift) * [1, -1]
    kept = np.arange(68) if abs(yaw) < _FRONTAL else np.arange(17, 68)
    rest = landmarks[kept] - screen[head.landmarks[kept]]
    bend = RBFInterpolator(screen[head.landmarks[kept]], rest, smoothing=1e-3 * extent[1])
    turned32 = turned.astype(np.float32)
    return Fitted(
        vertices.astype(np.float32),
        (screen + bend(screen)).astype(np.float32),
        -turned32[:, 2],
        vertex_normals(turned32, head.triangles),
        yaw,
    )


def _pose(
    shape: NDArray[np.float64], up: NDArray[np.float64], trust: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return rotation (3, 3), scale and shift of a distant camera, points with y up."""
    share = trust / trust.sum()
    middle, centre = share @ shape, share @ up
    root = np.sqrt(trust)[:, None]
    affine = np.linalg.lstsq((shape - middle) * root, (up - centre) * root, rcond=None)[0].T
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    first, second = left @ right
    turn = np.stack([first, second, np.cross(first, second)])
    scale = float(sizes.mean())
    return turn, scale, centre - scale * (turn[:2] @ middle)


def _facing(normals: FloatArray) -> FloatArray:
    """Return how well a surface is seen, in [0, 1]: not at all where it is nearly edge on."""
    length = np.linalg.norm(normals, axis=-1)
    slope = normals[..., 2] / np.maximum(length, 1e-6)
    t = np.clip((slope - 0.2) / 0.35, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _unhidden(head: Head, fitted: Fitted, place: FloatArray, depth: FloatArray) -> FloatArray:
    from vultus.worlds.raster import rasterise

    low = fitted.screen.min(0)
    scale = (_SIDE - 1) / float(np.ptp(fitted.screen, axis=0).max())
    # So far away that depth is the same by perspective and by parallel rays.
    away = 1e4 - fitted.depth.min()
    screen = np.column_stack([(fitted.screen - low) * scale, fitted.depth + away])
    _, nearest, _ = rasterise(screen.astype(np.float32), head.triangles, _SIDE, 1, 1.0)
    cell = np.clip(np.round((place - low) * scale).astype(int), 0, _SIDE - 1)
    seen = depth + away <= nearest[cell[..., 1], cell[..., 0]] + 0.6
    return np.asarray(seen, np.float32)


def _inside(shape: tuple[int, ...], place: FloatArray, points: FloatArray) -> FloatArray:
    """Return 1 where a place lies in the picture and in neither an eye nor the open mouth."""
    height, width = shape[:2]
    within = ((place >= 0) & (place <= [width - 1, height - 1])).all(-1)
    holes = np.zeros((height, width), np.uint8)
    for part in (slice(36, 42), slice(42, 48), slice(60, 68)):
        fixed = np.round(points[part] * 16).astype(np.int32)
        cv2.fillPoly(holes, [fixed], 1, shift=4)
    cell = np.clip(np.round(place).astype(int), 0, [width - 1, height - 1])
    return np.asarray(within & (holes[cell[..., 1], cell[..., 0]] == 0), np.float32)


def _face(head: Head, size: int) -> FloatArray:
    """Return the area of the face on the atlas, jaw to above the brows, soft at its edge."""
    uv = head.uv[head.landmarks]
    rise = 0.22 * float(uv[8, 1] - uv[27, 1])
    outline = np.concatenate([uv[:17], uv[26:16:-1] - [0, rise]])
    middle = outline.mean(0)
    outline = middle + 0.96 * (outline - middle)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round((outline * size - 0.5) * 256).astype(np.int32)], 255, shift=8)
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.018 * size)
    # Inside the outline alone, where the blurred edge has reached one half.
    return np.asarray(np.clip(2 * soft - 1, 0, 1), np.float32)


def _colours(
    picture: UInt8Array, place: FloatArray, points: FloatArray, head: Head, size: int
) -> FloatArray:
    """Fetch linear colours, (T, T, 3), of places in a photograph, without aliasing."""
    uv = head.uv[head.landmarks]
    texels = float(np.linalg.norm((uv[45] - uv[36]) * size))
    pixels = max(float(np.linalg.norm(points[45] - points[36])), 1.0)
    light = linear(picture.astype(np.float32) / 255)
    if pixels > 1.5 * texels:
        light = cv2.GaussianBlur(light, (0, 0), 0.4 * pixels / texels)  # type: ignore[assignment]
    return np.asarray(
        cv2.remap(
            light,
            np.ascontiguousarray(place[..., 0]),
            np.ascontiguousarray(place[..., 1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _unlit(colour: FloatArray, normals: FloatArray, seen: FloatArray) -> FloatArray:
    """Divide by the part of the luminance that spherical harmonics of the normal explain.

    Nine of them hold nearly all that distant light does to a matt surface (Ramamoorthi and
    Hanrahan, 2001). The mean brightness is kept.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    terms = np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1])
    known = seen > 0.5
    if known.sum() < 10 * len(terms):
        return colour
    luminance = colour @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    rows = terms[:, known].T.astype(np.float64)
    level = float(luminance[known].mean())
    # A weak pull towards even light keeps directions in check that no surface faces.
    pull = 0.02 * len(rows) * np.eye(len(terms))
    pull[0, 0] = 0
    solved = np.linalg.solve(rows.T @ rows + pull, rows.T @ luminance[known])
    light = np.clip(np.tensordot(solved, terms, 1) / max(level, 1e-4), 0.4, 2.5)
    return np.asarray(np.clip(colour / light[..., None], 0.005, 0.95), np.float32)


def _completed(colour: FloatArray, seen: FloatArray) -> Texture:
    """Take from the mirror image what is seen better there; the chart is symmetric."""
    other, others = colour[:, ::-1], seen[:, ::-1]
    better = np.clip(2 * (others - seen), 0, 1)
    # The step from one half to the other must not show.
    share = cv2.GaussianBlur(better, (0, 0), 0.012 * len(seen))
    share = np.where(seen <= 0, (others > 0).astype(np.float32), share * (others > 0))
    mixed = colour + (other - colour) * share[..., None]
    cover = np.maximum(seen, others)
    return Texture(np.asarray(mixed, np.float32), np.asarray(cover, np.float32))


def save_texture(path: Path, texture: Texture) -> None:
    """Write a texture as PNG, sRGB colour and the cover as alpha, whole or not at all.

    Raises
    ------
    DatasetError
        If it cannot be encoded.
    """
    rgba = np.concatenate([srgb(texture.colour), texture.cover[..., None]], 2)
    pixels = np.round(np.clip(rgba, 0, 1) * 255).astype(np.uint8)
    done, data = cv2.imencode(".png", pixels[..., [2, 1, 0, 3]])
    if not done:
        raise DatasetError(f"{path}: cannot be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(data.tobytes())


def load_texture(path: Path, size: int) -> Texture:
    """Read what :func:`save_texture` wrote, at a side of ``size`` texels.

    Raises
    ------
    DatasetError
        If it is no square PNG with alpha.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape != (len(pixels),) * 2 + (4,):
        raise DatasetError(
            f"{path}: expected a square PNG of colour and cover, made by 'vultus data textures'"
        )
    cover = np.asarray(pixels[..., 3] / np.float32(255), np.float32)
    colour = linear(pixels[..., 2::-1].astype(np.float32) / 255)
    if len(pixels) != size:
        kind = cv2.INTER_AREA if len(pixels) > size else cv2.INTER_LINEAR
        colour, cover = (cv2.resize(a, (size, size), interpolation=kind) for a in (colour, cover))  # type: ignore[assignment]
    return Texture(colour, cover)


def texture_files(folder: Path) -> list[Path]:
    """Return the textures of a folder, sorted by name; :class:`DatasetError` if there are none."""
    found = sorted(folder.glob("[!.]*.png")) if folder.is_dir() else []
    if not found:
        raise DatasetError(
            f"no textures in {folder}: make them from photographs with 'vultus data textures'"
        )
    return found


def covered(painted: FloatArray, texture: Texture) -> FloatArray:
    """Return painted skin (R, T, 3) in the tone of a texture, with the texture on it."""
    rows = len(painted)
    colour, cover = texture.colour[:rows], texture.cover[:rows, :, None]
    total = max(float(cover.sum()), 1e-6)
    gain = (cover * colour).sum((0, 1)) / np.maximum((cover * painted).sum((0, 1)), 1e-4 * total)
    toned = painted * np.clip(gain, 0.2, 5.0).astype(np.float32) if total > 1 else painted
    return np.asarray(toned + (colour - toned) * cover, np.float32)
