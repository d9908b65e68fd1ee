"""Faces drawn on pictures, and contact sheets of crops."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import VultusError
from vultus.faces import Face, Pose
from vultus.geometry import head_rotation
from vultus.images import ImageSource, open_image
from vultus.parts import PART_COLOURS

UInt8Array = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]
Area: TypeAlias = tuple[float, float, float, float]

#: Okabe and Ito's colours, which people with any common colour blindness tell apart; no black.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)
UNKNOWN: Colour = (190, 190, 190)

_DARK: Colour = (24, 24, 24)
_LIGHT: Colour = (250, 250, 250)
#: Image-right, down the face, out of the nose.
_AXES: tuple[Colour, Colour, Colour] = (PALETTE[6], PALETTE[2], PALETTE[5])

#: The iBUG 68 points as lines: first, last, and whether the line closes.
_CONTOURS = (
    (0, 16, False),
    (17, 21, False),
    (22, 26, False),
    (27, 30, False),
    (31, 35, False),
    (36, 41, True),
    (42, 47, True),
    (48, 59, True),
    (60, 67, True),
)
#: How much of the colour of a part covers the picture.
_TINT = 0.5
#: Binary digits of subpixel positions that OpenCV takes.
_SHIFT = 4


def draw_faces(
    image: ImageSource,
    faces: Sequence[Face],
    labels: Sequence[str | None] | None = None,
    *,
    groups: Sequence[Hashable | None] | None = None,
    keypoints: bool = True,
    landmarks: bool = True,
    pose: bool = True,
    parts: bool = False,
    scale: float = 1.0,
) -> UInt8Array:
    """Return a copy of a picture with faces marked on it.

    Line widths and letters follow the size of the picture and of each face. Labels stand on plates
    that keep inside the picture and, where there is room, off every face.

    Parameters
    ----------
    image
        Any source that :func:`vultus.images.open_image` takes.
    faces
        Faces in that picture.
    labels
        One text per face; None or an empty text leaves the plate out.
    groups
        What decides the colour, one value per face: equal values share a colour, None is grey.
        By default the labels; without labels all faces are alike.
    keypoints, landmarks, pose
        Whether to draw the five keypoints, and the 68 landmarks and the head's axes (image-right
        vermilion, down green, out of the nose blue) of faces that have them.
    parts
        Whether to tint the parts of faces whose masks are there, in ``vultus.parts.PART_COLOURS``.
    scale
        Factor on line widths and letters.

    Returns
    -------
    uint8 (H, W, 3) RGB.

    Raises
    ------
    ImageError
        If the picture cannot be opened.
    VultusError
        If labels or groups do not match the faces in number, or the scale is not positive.
    """
    for name, values in (("labels", labels), ("groups", groups)):
        if values is not None and len(values) != len(faces):
            raise VultusError(f"draw_faces: {len(values)} {name} for {len(faces)} faces")
    if not scale > 0:
        raise VultusError(f"draw_faces: scale must be positive, got {scale}")
    canvas = open_image(image).copy()
    for face in faces if parts else ():
        _tint(canvas, face)
    keys = groups if groups is not None else labels
    colours = group_colours(keys) if keys is not None else [PALETTE[0]] * len(faces)
    for face, colour in zip(faces, colours, strict=True):
        _draw_face(canvas, face, colour, scale, (keypoints, landmarks, pose))
    placed: list[Area] = []
    for i, text in enumerate(labels or ()):
        if text:
            size = _text_size(canvas, faces[i], scale)
            plate = _plate(text, colours[i], size, canvas.shape[1])
            placed.append(_place(canvas, plate, faces, i, placed))
    return canvas


def group_colours(keys: Sequence[Hashable | None]) -> list[Colour]:
    """Return one RGB colour per key: equal keys share one, None and "" are grey.

    The first seven keys take :data:`PALETTE`; later ones take it again lighter, then darker.
    """
    known: dict[Hashable, Colour] = {}
    colours: list[Colour] = []
    for key in keys:
        if key is None or key == "":
            colours.append(UNKNOWN)
            continue
        if key not in known:
            turn, place = divmod(len(known), len(PALETTE))
            towards, share = ((0, 0.0), (255, 0.5), (0, 0.45))[turn % 3]
            red, green, blue = (round(c + (towards - c) * share) for c in PALETTE[place])
            known[key] = (red, green, blue)
        colours.append(known[key])
    return colours


def contact_sheet(
    crops: Sequence[UInt8Array] | UInt8Array,
    columns: int,
    labels: Sequence[str | None] | None = None,
    *,
    background: Colour = (32, 32, 32),
) -> UInt8Array:
    """Return crops side by side in rows.

    Parameters
    ----------
    crops
        uint8 (H, W, 3) RGB each. A crop smaller than the largest is enlarged to fit its cell.
    columns
        Cells per row.
    labels
        One text per crop, written below it.
    background
        RGB colour between the crops.

    Returns
    -------
    uint8 (rows, columns, 3) of the whole sheet, RGB.

    Raises
    ------
    VultusError
        If there is no crop, a crop is not uint8 (H, W, 3), or the numbers do not match.
    """
    if not len(crops) or columns < 1:
        raise VultusError(f"contact_sheet: {len(crops)} crops in {columns} columns")
    if labels is not None and len(labels) != len(crops):
        raise VultusError(f"contact_sheet: {len(labels)} labels for {len(crops)} crops")
    for crop in crops:
        if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or not crop.size:
            raise VultusError(f"contact_sheet: got {crop.dtype} {crop.shape}, not uint8 (H, W, 3)")
    height, width = (max(crop.shape[axis] for crop in crops) for axis in (0, 1))
    columns = min(columns, len(crops))
    rows = -(-len(crops) // columns)
    gap = max(2, round(0.03 * max(height, width)))
    letters = float(np.clip(0.13 * width, 11, 30))
    below = round(1.9 * letters) if labels is not None else 0
    pitch = np.array([height + below + gap, width + gap])
    sheet = np.empty((rows * pitch[0] + gap, columns * pitch[1] + gap, 3), np.uint8)
    sheet[:] = background
    for i, crop in enumerate(crops):
        top, left = gap + pitch * divmod(i, columns)
        fitted = _fit(crop, height, width)
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        text = labels[i] if labels is not None else None
        if text:
            plate = _plate(text, background, letters, width)
            x = left + (width - plate.shape[1]) // 2
            sheet[top + height :, x:][: plate.shape[0], : plate.shape[1]] = plate
    return sheet


def _draw_face(
    canvas: UInt8Array, face: Face, colour: Colour, scale: float, parts: tuple[bool, bool, bool]
) -> None:
    keypoints, landmarks, pose = parts
    side = float(np.sqrt(face.width * face.height))
    picture = float(np.sqrt(canvas.shape[0] * canvas.shape[1]))
    line = scale * float(np.clip(0.018 * side, picture / 500, picture / 250))
    thin = max(1, round(line / 3))
    _draw_box(canvas, face, colour, max(1, round(line)))
    if landmarks and hasattr(face, "landmarks"):
        for first, last, closed in _CONTOURS:
            _polyline(canvas, face.landmarks[first : last + 1], colour, thin, closed=closed)
        for point in face.landmarks:
            _dot(canvas, point, _LIGHT, max(0.8, 0.4 * line))
    if keypoints:
        radius = max(0.7, min(0.9 * line + 0.5, 0.022 * side))
        for point in face.keypoints:
            if radius > 1.2:
                _dot(canvas, point, _DARK, radius + 0.8)
            _dot(canvas, point, colour, radius)
    if pose and hasattr(face, "pose"):
        _draw_axes(canvas, face.keypoints[2], face.pose, 0.45 * side, max(1, round(line)))


def _tint(canvas: UInt8Array, face: Face) -> None:
    if not hasattr(face, "parts") or face.parts.polar is None:
        return
    mask = face.parts.mask((canvas.shape[0], canvas.shape[1]))
    shown = mask > 0
    colours = np.array(PART_COLOURS, np.float32)[mask[shown]]
    canvas[shown] = (_TINT * colours + (1 - _TINT) * canvas[shown] + 0.5).astype(np.uint8)


def _draw_box(canvas: UInt8Array, face: Face, colour: Colour, line: int) -> None:
    x1, y1, x2, y2 = face.box
    arm = 0.2 * min(face.width, face.height)
    _polyline(canvas, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour, line, closed=True)
    for x, y, dx, dy in ((x1, y1, 1, 1), (x2, y1, -1, 1), (x2, y2, -1, -1), (x1, y2, 1, -1)):
        corner = [(x + dx * arm, y), (x, y), (x, y + dy * arm)]
        # Thick corners would swallow a small box.
        thick = 2 * line + 1 if arm > 10 * line else line
        _polyline(canvas, corner, colour, thick, halo=False)


def _draw_axes(canvas: UInt8Array, origin: ArrayLike, pose: Pose, length: float, line: int) -> None:
    axes = head_rotation(pose.yaw, pose.pitch, pose.roll).T * np.array([(1,), (1,), (-1,)])
    ends = np.asarray(origin, np.float64) + length * axes[:, :2]
    # What points away from the camera is drawn first, what points at it last.
    for i in np.argsort(-axes[:, 2]):
        _polyline(canvas, [origin, ends[i]], _AXES[i], line + (i == 2))
    _dot(canvas, ends[2], _AXES[2], 1.6 * line + 1)


def _fixed(canvas: UInt8Array, points: ArrayLike) -> NDArray[np.int32]:
    # Positions far outside change nothing visible and would overflow OpenCV's integers.
    far = 4.0 * max(canvas.shape)
    clipped = np.clip(np.asarray(points, np.float64), -far, far)
    return np.asarray(np.rint(clipped * 2**_SHIFT), np.int32)


def _polyline(
    canvas: UInt8Array,
    points: ArrayLike,
    colour: Colour,
    line: int,
    *,
    closed: bool = False,
    halo: bool = True,
) -> None:
    fixed = [_fixed(canvas, points).reshape(-1, 1, 2)]
    # Around a line of one pixel a dark rim would be all that is seen.
    if halo and line > 1:
        cv2.polylines(canvas, fixed, closed, _DARK, line + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(canvas, fixed, closed, colour, line, cv2.LINE_AA, _SHIFT)


def _dot(canvas: UInt8Array, point: ArrayLike, colour: Colour, radius: float) -> None:
    x, y = _fixed(canvas, point).tolist()
    cv2.circle(canvas, (x, y), round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _text_size(canvas: UInt8Array, face: Face, scale: float) -> float:
    """Return the height of letters in pixels for one face."""
    height, width = canvas.shape[:2]
    picture = float(np.sqrt(height * width))
    wanted = np.clip(0.14 * np.sqrt(face.width * face.height), picture / 45, picture / 22)
    return float(min(max(scale * wanted, 11), max(height / 5, 6)))


@dataclass(frozen=True, slots=True)
class _Writing:
    """Text as OpenCV sets it at one size: its advance width and the lift of its baseline."""

    text: str
    size: int
    width: int

    @classmethod
    def of(cls, text: str, size: float) -> _Writing:
        font = cv2.FontFace("sans")
        pixels = max(6, round(size))
        x, _, width, _ = cv2.getTextSize((1 << 14, 1 << 14), text, (0, 100), font, pixels, 500)
        return cls(text, pixels, x + width)


def _plate(text: str, colour: Colour, size: float, room: int) -> UInt8Array:
    """Return a filled plate with a text, no wider than ``room``; long texts end in "..."."""
    text = "".join(c if c.isprintable() else " " for c in text)
    margin = max(2, round(0.35 * size))
    space = max(room - 2 * margin, 1)
    writing = _Writing.of(text, size)
    if writing.width > space:
        smaller = max(0.7 * size, min(size, 11))
        writing = _Writing.of(text, smaller)
        while writing.width > space and text:
            text = text[: max(int(len(text) * space / writing.width), 1)][:-1]
            writing = _Writing.of(text.rstrip() + "...", smaller)
    height = round(1.25 * writing.size) + margin
    plate = np.empty((height, min(writing.width + 2 * margin, room), 3), np.uint8)
    plate[:] = colour
    baseline = round(0.95 * writing.size) + margin // 2
    ink = _DARK if _luminance(colour) > 0.179 else _LIGHT
    font = cv2.FontFace("sans")
    cv2.putText(plate, writing.text, (margin, baseline), ink, font, writing.size, 500)
    return plate


def _luminance(colour: Colour) -> float:
    """Return the relative luminance in [0, 1] of WCAG 2; 0.179 parts dark ink from light."""
    share = np.asarray(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _place(
    canvas: UInt8Array, plate: UInt8Array, faces: Sequence[Face], index: int, placed: list[Area]
) -> Area:
    """Copy a plate to where it hides least; return the area it took."""
    height, width = canvas.shape[:2]
    plate = plate[:height, :width]
    h, w = plate.shape[:2]
    x1, y1, x2, y2 = faces[index].box.tolist()
    gap = max(2.0, 0.01 * float(np.sqrt(height * width)))
    above_and_below = [(x, y) for x in (x1, x2 - w) for y in (y1 - gap - h, y2 + gap)]
    beside = [(x, y) for x in (x2 + gap, x1 - gap - w) for y in (y1, y2 - h)]
    in_a_corner = [(x, y) for y in (0, height - h) for x in (0, width - w)]
    best, least = (0, 0), np.inf
    for rank, spot in enumerate(above_and_below + beside + in_a_corner):
        x, y = round(min(max(spot[0], 0), width - w)), round(min(max(spot[1], 0), height - h))
        area = (x, y, x + w, y + h)
        cost = sum(_overlap(area, face.box.tolist()) for face in faces)
        cost += 4 * sum(_overlap(area, core) for core in map(_core, faces))
        cost += 4 * sum(_overlap(area, other) for other in placed)
        away = max(x1 - area[2], area[0] - x2, y1 - area[3], area[1] - y2, 0)
        cost += 0.2 * max(away - gap, 0) / (x2 - x1) + 0.01 * rank
        if cost < least:
            best, least = (x, y), cost
    x, y = best
    canvas[y : y + h, x : x + w] = plate
    return (x, y, x + w, y + h)


def _core(face: Face) -> Area:
    """Return the box around the keypoints, with a margin: what a plate must not hide."""
    low, high = face.keypoints.min(0), face.keypoints.max(0)
    margin = 0.25 * (high - low).max()
    return (*(low - margin).tolist(), *(high + margin).tolist())


def _overlap(area: Area, other: Area) -> float:
    """Return the share of an area that another covers."""
    across = min(area[2], other[2]) - max(area[0], other[0])
    down = min(area[3], other[3]) - max(area[1], other[1])
    size = (area[2] - area[0]) * (area[3] - area[1])
    return max(across, 0.0) * max(down, 0.0) / max(size, 1.0)


def _fit(crop: UInt8Array, height: int, width: int) -> UInt8Array:
    factor = min(height / crop.shape[0], width / crop.shape[1])
    if factor == 1:
        return crop
    size = (max(round(crop.shape[1] * factor), 1), max(round(crop.shape[0] * factor), 1))
    return cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]
