"""The ICT-FaceKit head (MIT licence), read from a data folder and thinned to a level of detail.

Li et al., "Learning Formation of Physically-Based Face Attributes" (2020). The file is never part
of this package: ``vultus data get ict-facekit`` fetches it, or put ``ict_facekit/ict_facekit.npz``
under ``VULTUS_DATA``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.errors import DatasetError
from vultus.places import default_home
from vultus.worlds.chart import Material, skin_chart
from vultus.worlds.eyes import eyeball, gaze
from vultus.worlds.heads import Head, asymmetries, check_names, mirror_of, parity
from vultus.worlds.mesh import interior_chart, label_vertices, sky_occlusion
from vultus.worlds.simplify import simplify

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

FILE = Path("ict_facekit") / "ict_facekit.npz"

# Vertex ranges of the public mesh, from its documentation.
SKIN_END = 11248
SOCKET = slice(13294, 14062)
TEETH = slice(17039, 21451)
EYES_START = 21451
SCLERA = (slice(21451, 22221), slice(23021, 23821))

#: Triangles kept of skin, mouth and teeth, per level of detail; rings and segments of an eyeball.
BUDGET = {"low": (5200, 700, 500, 7, 16), "high": (16000, 1800, 1500, 12, 28)}

#: Identity directions that also come in an antisymmetric form.
ASYMMETRIC = 20


def find_file(data: Path | None = None) -> Path:
    """Return the path of the model file; raise :class:`DatasetError` naming where it was sought."""
    named = os.environ.get("VULTUS_DATA")
    roots = [*([data] if data else []), *([Path(named)] if named else []), default_home()]
    for root in roots:
        if (root / FILE).is_file():
            return root / FILE
    sought = ", ".join(str(root / FILE) for root in roots)
    raise DatasetError(
        f"the ICT-FaceKit head was not found (looked at {sought}): run: vultus data get "
        "ict-facekit, or set VULTUS_DATA to the folder that holds ict_facekit/, or use the "
        "procedural head"
    )


def ict_head(detail: str, data: Path | None = None) -> Head:
    """Return the head at a level of detail; reading and thinning takes some seconds, once."""
    return _ict_head(detail, find_file(data))


@lru_cache(maxsize=2)
def _ict_head(detail: str, path: Path) -> Head:
    with np.load(path, allow_pickle=False) as archive:
        raw = {name: archive[name] for name in archive.files}
    neutral = raw["neutral"]
    kept, faces = _thin(neutral, raw["triangles"], raw["landmarks68"], detail)
    names = [str(name) for name in raw["expression_names"]]
    # Pupil size is a matter of appearance here.
    moving = [i for i, name in enumerate(names) if not name.startswith("PupilDilate")]
    names = [names[i] for i in moving]
    identity = _basis(raw["identity"], raw["identity_scale"], kept)
    expression = _basis(raw["expression"][moving], raw["expression_scale"][moving], kept)
    points, tris, material = neutral[kept], faces[:, :3], faces[:, 3].astype(np.uint8)
    uv = np.where(
        _touches(tris, material, Material.SKIN, len(points))[:, None],
        skin_chart(points),
        interior_chart(points, _touches(tris, material, Material.TEETH, len(points))),
    )
    for sclera in SCLERA:
        shift = raw["identity"][:, sclera].mean(1) * raw["identity_scale"][:, None]
        parts = _eye(neutral[sclera], shift, names, BUDGET[detail][3:])
        tris = np.concatenate([tris, parts[1] + len(points)])
        material = np.concatenate([material, np.full(len(parts[1]), Material.EYE, np.uint8)])
        points = np.concatenate([points, parts[0]])
        uv = np.concatenate([uv, parts[2]])
        identity = np.concatenate([identity, parts[3]], 1)
        expression = np.concatenate([expression, parts[4]], 1)
    marks = np.searchsorted(kept, raw["landmarks68"]).astype(np.int32)
    mirror = mirror_of(points)
    even, odd = parity(identity, mirror)
    return Head(
        name=f"ict/{detail}",
        neutral=points,
        triangles=tris,
        uv=uv,
        material=material,
        parts=label_vertices(points, tris, material, uv, marks),
        identity_basis=np.concatenate([even, odd, asymmetries(even[:ASYMMETRIC], points)]),
        expression_basis=expression,
        expression_names=check_names(names),
        landmarks=marks,
        mirror=mirror,
        occlusion=sky_occlusion(points, tris, material),
        symmetric=len(even),
    )


def _thin(
    neutral: FloatArray, triangles: IntArray, landmarks: IntArray, detail: str
) -> tuple[IntArray, IntArray]:
    """Return the kept vertices, ascending, and triangles with material in the new numbering."""
    top = triangles.max(1)
    skin, mouth, teeth = BUDGET[detail][:3]
    in_socket = (top >= SOCKET.start) & (top < SOCKET.stop)
    groups = (
        (Material.SKIN, (top < SKIN_END) | in_socket, skin),
        (Material.MOUTH, (top >= SKIN_END) & (top < SOCKET.start), mouth // 2),
        (Material.MOUTH, (top >= SOCKET.stop) & (top < TEETH.start), mouth // 2),
        (Material.TEETH, (top >= TEETH.start) & (top < EYES_START), teeth),
    )
    partner = mirror_of(neutral)
    out = [
        _thin_half(neutral, triangles[chosen], budget // 2, landmarks, partner, material)
        for material, chosen, budget in groups
    ]
    faces = np.concatenate(out)
    kept, compact = np.unique(faces[:, :3], return_inverse=True)
    faces[:, :3] = compact.reshape(-1, 3)
    return kept.astype(np.int32), faces


def _thin_half(
    neutral: FloatArray,
    triangles: IntArray,
    budget: int,
    landmarks: IntArray,
    partner: IntArray,
    material: Material,
) -> IntArray:
    """Thin one side and mirror it, so that the topology stays symmetric."""
    right = neutral[:, 0] >= -1e-4
    half = triangles[right[triangles].all(1)]
    importance = np.where(neutral[:, 2] > 3.0, 1.0, 0.05).astype(np.float32)
    for centre, reach in (((3.1, 3.5, 9), 2.2), ((0, -3.4, 11), 3.2), ((0.8, 0, 11.5), 2.2)):
        near = np.linalg.norm(neutral - np.array(centre), axis=1) < reach
        importance[near] = 6.0
    group = np.zeros(len(half), np.uint8)
    own = landmarks[right[landmarks]]
    # Edges of the half are open, so the midline is only ever thinned along itself.
    thin = simplify(neutral, half, budget, keep=own, importance=importance, group=group)[:, :3]
    on_seam = np.abs(neutral[thin, 0]) <= 1e-4
    reflected = np.where(on_seam, thin, partner[thin])[:, [0, 2, 1]]
    both = np.concatenate([thin, reflected])
    return np.concatenate([both, np.full((len(both), 1), int(material), np.int32)], 1)


def _basis(packed: NDArray[np.int16], scale: FloatArray, kept: IntArray) -> FloatArray:
    return packed[:, kept].astype(np.float32) * scale[:, None, None]


def _touches(
    tris: IntArray, material: NDArray[np.uint8], which: Material, count: int
) -> NDArray[np.bool_]:
    out = np.zeros(count, bool)
    out[tris[material == which].ravel()] = True
    return out


def _eye(
    sclera: FloatArray, shift: FloatArray, names: list[str], shape: tuple[int, ...]
) -> tuple[FloatArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """Replace a modelled eye by an eyeball that follows its centre."""
    system = np.concatenate([2 * sclera, np.ones((len(sclera), 1))], 1)
    solution = np.linalg.lstsq(system, (sclera**2).sum(1), rcond=None)[0]
    centre = solution[:3].astype(np.float32)
    radius = 0.985 * float(np.sqrt(solution[3] + (solution[:3] ** 2).sum()))
    vertices, tris, uv = eyeball(centre, radius, *shape)
    left = bool(centre[0] < 0)
    # "_R" is the person's right side, the image's left.
    side = "_R" if left else "_L"
    expression = np.stack(
        [gaze(vertices, centre, n[:-2] if n.endswith(side) else "", left) for n in names]
    )
    identity = np.repeat(shift[:, None].astype(np.float32), len(vertices), 1)
    return vertices, tris, uv, identity, expression
