"""A head that needs no file: sculpted skin, ears, eyes and mouth, with linear variation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.chart import Material, skin_chart
from vultus.worlds.eyes import eyeball, gaze
from vultus.worlds.fields import Anatomy, expression_fields, identity_fields
from vultus.worlds.heads import Head, asymmetries, check_names, mirror_of
from vultus.worlds.layout import Layout, layout
from vultus.worlds.mesh import interior_chart, label_vertices, sky_occlusion
from vultus.worlds.organs import ear, mouth_interior, stitch, teeth, tongue
from vultus.worlds.sculpt import EYE, EYE_RADIUS, MOUTH_Y, sculpt, smoothstep

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Float64Array = NDArray[np.float64]

#: Rings and segments of an eyeball, points along and around an ear, columns of a row of teeth.
ORGANS = {"low": (7, 16, 22, 16), "high": (12, 28, 44, 32)}

#: Identity directions that also come in an antisymmetric form: local features, not the skull.
ASYMMETRIC = slice(7, 47)


class _Builder:
    """Collects pieces of the head; every piece comes with its mirror image."""

    def __init__(self) -> None:
        self.points: list[Float64Array] = []
        self.triangles: list[IntArray] = []
        self.material: list[NDArray[np.uint8]] = []
        self.count = 0

    def add(self, points: Float64Array, triangles: IntArray, material: Material) -> int:
        """Append a piece whose triangles count from 0; return the number of its first vertex."""
        start = self.count
        self.points.append(points)
        self.link(triangles + start, material)
        self.count += len(points)
        return start

    def link(self, triangles: IntArray, material: Material) -> None:
        """Append triangles between vertices that are already there."""
        self.triangles.append(triangles.astype(np.int32))
        self.material.append(np.full(len(triangles), material, np.uint8))


@lru_cache(maxsize=2)
def procedural_head(detail: str) -> Head:
    """Return the head at a level of detail, ``low`` or ``high``; takes about a second, once."""
    plan = layout(detail)
    rings, segments, around_ear, columns = ORGANS[detail]
    build = _Builder()
    twin, lid = _skin(plan, build)
    jaw = [_skin_jaw(build.points[0])]
    eye_rims = [plan.eye_rim, twin[plan.eye_rim][::-1]]
    for rim in eye_rims:
        lid = np.concatenate([lid, _lid_edge(build, rim)])
        jaw.append(np.zeros(len(rim)))
    loop = np.concatenate([plan.mouth_rim, twin[plan.mouth_rim][-2:0:-1]])
    inner = mouth_interior(build.points[0][loop], jaw[0][loop])
    start = build.add(inner.points, inner.triangles, Material.MOUTH)
    build.link(stitch(loop, start + np.arange(len(loop))), Material.SKIN)
    jaw.append(inner.jaw)
    for upper in (True, False):
        row = teeth(upper, columns)
        build.add(row, _grid(columns + 1, len(row) // (columns + 1)), Material.TEETH)
        jaw.append(np.full(len(row), 0.0 if upper else 1.0))
    points, triangles = tongue(columns)
    build.add(points, triangles, Material.MOUTH)
    jaw.append(np.ones(len(points)))
    ear_start = build.count
    for sign in (1.0, -1.0):
        points, triangles = ear(around_ear)
        flipped = triangles if sign > 0 else triangles[:, [0, 2, 1]]
        build.add(points * [sign, 1, 1], flipped, Material.SKIN)
        jaw.append(np.zeros(len(points)))
    eye_start = build.count
    balls = []
    for sign in (1.0, -1.0):
        centre = np.array([sign * EYE[0], EYE[1], EYE[2]], np.float32)
        ball, triangles, uv = eyeball(centre, EYE_RADIUS, rings, segments)
        balls.append((build.add(ball.astype(np.float64), triangles, Material.EYE), centre, uv))
        jaw.append(np.zeros(len(ball)))
    lid = np.concatenate([lid, np.full(build.count - len(lid), -1, np.int32)])
    index = np.arange(build.count)
    anatomy = Anatomy(
        np.concatenate(build.points),
        lid,
        index >= eye_start,
        (index >= ear_start) & (index < eye_start),
        np.concatenate(jaw),
    )
    return _assemble(detail, plan, twin, build, anatomy, balls)


def _assemble(
    detail: str,
    plan: Layout,
    twin: IntArray,
    build: _Builder,
    anatomy: Anatomy,
    balls: list[tuple[int, FloatArray, FloatArray]],
) -> Head:
    points = anatomy.points.astype(np.float32)
    triangles, material = np.concatenate(build.triangles), np.concatenate(build.material)
    identity = identity_fields(anatomy)[1].astype(np.float32)
    names, fields = expression_fields(anatomy)
    expression = fields.astype(np.float32)
    for start, centre, uv in balls:
        own = slice(start, start + len(uv))
        left = bool(centre[0] < 0)
        side = "_R" if left else "_L"
        for e, name in enumerate(names):
            shift = gaze(points[own], centre, name[:-2] if name.endswith(side) else "", left)
            expression[e, own] = shift
    skin = np.zeros(len(points), bool)
    skin[triangles[material == Material.SKIN].ravel()] = True
    in_teeth = np.zeros(len(points), bool)
    in_teeth[triangles[material == Material.TEETH].ravel()] = True
    uv = np.where(skin[:, None], skin_chart(points), interior_chart(points, in_teeth))
    for start, _, ball_uv in balls:
        uv[start : start + len(ball_uv)] = ball_uv
    marks = _landmarks(plan, twin)
    return Head(
        name=f"procedural/{detail}",
        neutral=points,
        triangles=triangles,
        uv=uv.astype(np.float32),
        material=material,
        parts=label_vertices(points, triangles, material, uv, marks),
        identity_basis=np.concatenate([identity, asymmetries(identity[ASYMMETRIC], points)]),
        expression_basis=expression,
        expression_names=check_names(names),
        landmarks=marks,
        mirror=mirror_of(points, 1e-3),
        occlusion=sky_occlusion(points, triangles, material),
        symmetric=len(identity),
    )


def _skin(plan: Layout, build: _Builder) -> tuple[IntArray, IntArray]:
    """Add both halves of the skin; return the mirror image of each vertex and the lid rings."""
    half = sculpt(plan.p, plan.q, plan.lid)
    middle = (plan.p < 1e-9) | (plan.p > 9 * np.pi - 1e-6)
    half[middle, 0] = 0.0
    crown = half[:, 1] >= half[:, 1].max() - 1e-6
    half[crown] = half[crown][0] * [0, 1, 1]
    twin = np.arange(len(half), dtype=np.int32)
    others = np.flatnonzero(~(middle | crown))
    twin[others] = len(half) + np.arange(len(others))
    # All copies of the pole become one vertex.
    pole = int(np.flatnonzero(crown)[0])
    weld = np.arange(len(half))
    weld[crown] = pole
    own = weld[plan.triangles]
    own = own[(own[:, 0] != own[:, 1]) & (own[:, 1] != own[:, 2]) & (own[:, 0] != own[:, 2])]
    points = np.concatenate([half, half[others] * [-1, 1, 1]])
    build.add(
        points, np.concatenate([own, twin[own][:, [0, 2, 1]]]).astype(np.int32), Material.SKIN
    )
    back = np.concatenate([twin, others]).astype(np.int32)
    return back, np.concatenate([plan.lid, plan.lid[others]])


def _skin_jaw(points: Float64Array) -> Float64Array:
    """Return how far skin follows the jaw: a step at the lips, a slow change toward the ears."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    rise = y - MOUTH_Y
    step = np.tanh(rise / (0.002 + 1.9 * smoothstep(x, 1.9, 5.2)))
    # The opening is an ellipse: toward the corners both lips follow half way.
    ellipse = np.sqrt(np.clip(1 - (x / 2.5) ** 2, 0, 1))
    share = 0.5 - 0.5 * step * (ellipse + (1 - ellipse) * smoothstep(np.abs(rise), 0.0, 1.3))
    return np.asarray(share * smoothstep(z, 1.5, 7.0) * smoothstep(y, -11.0, -8.2))


def _lid_edge(build: _Builder, rim: IntArray) -> IntArray:
    """Turn the rim of the lids inward onto the eyeball; return the new vertices' lid ring."""
    points = build.points[0][rim]
    sign = np.sign(points[:, :1].mean())
    centre = np.array([sign * EYE[0], EYE[1], EYE[2]])
    offset = points - centre
    inner = offset / np.linalg.norm(offset, axis=1, keepdims=True) * (EYE_RADIUS - 0.03)
    inner = centre + inner * [1.06, 1.06, 1.0]
    start = build.add(inner, np.empty((0, 3), np.int32), Material.SKIN)
    build.link(stitch(rim, start + np.arange(len(rim))), Material.SKIN)
    return np.zeros(len(rim), np.int32)


def _grid(columns: int, rows: int) -> IntArray:
    index = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
    ).astype(np.int32)


def _landmarks(plan: Layout, twin: IntArray) -> IntArray:
    """Return the vertices of the 68 points: the half with x >= 0 is the image's right."""
    n, m = len(plan.eye_rim), len(plan.mouth_rim)
    lips = plan.mouth_rim[0] + 3 * m
    eye = plan.eye_rim[np.array([n // 2, 3 * n // 10, n // 5, 0, 4 * n // 5, 7 * n // 10])]
    outer = lips + np.array([0, 1, 3, 6, 9, 11, 12]) * (m - 1) // 12
    inner = plan.mouth_rim[np.array([0, 2, 6, 10, 12]) * (m - 1) // 12]
    jaw, brow = plan.anchors[:9], plan.anchors[9:14]
    ridge, base = plan.anchors[14:18], plan.anchors[18:]
    right = np.full(68, -1, np.int64)
    right[16:7:-1] = jaw
    right[22:27] = brow
    right[27:31] = ridge
    right[33:36] = base
    right[42:48] = eye
    right[51:58] = outer
    right[[62, 63, 64, 65, 66]] = inner
    from vultus.worlds.heads import MIRROR_68

    missing = right < 0
    right[missing] = twin[right[np.array(MIRROR_68)[missing]]]
    return right.astype(np.int32)
