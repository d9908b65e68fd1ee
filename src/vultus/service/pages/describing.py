"""What is known of a face, as titled rows of text and bars, whatever fields it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vultus.analysis import Analysis
from vultus.faces import FILLED_BY, Face
from vultus.service.pages import wording

#: What the fields are called on pages.
TITLES = {
    "pose": "Head pose",
    "quality": "Quality",
    "liveness": "Liveness",
    "expression": "Expression",
    "attributes": "Attributes",
    "landmarks": "Landmarks",
    "parts": "Parts of the face",
}
_SHOWN_APART = frozenset({"box", "score", "keypoints", "landmarks", "embedding", "pose"})
#: Values that lie between -1 and 1.
_SIGNED = frozenset({"valence", "arousal"})
#: Rows that are told before others.
_FIRST = ("decision", "overall", "label", "reasons")
#: Parts of the 68 points that are drawn as lines: first, last, closed.
_LINES = (
    (0, 16, False), (17, 21, False), (22, 26, False), (27, 30, False), (31, 35, False),
    (36, 41, True), (42, 47, True), (48, 59, True), (60, 67, True),
)  # fmt: skip
_MOST_ROWS = 40
#: Rows of a section that is shown whole.
_SHORT = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One value: its name, its text, and for a share the length of its bar in [0, 1].

    ``start`` is where the bar begins; it is not 0 for values around a middle.
    """

    name: str
    text: str
    length: float | None = None
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one field; those of ``more`` are for who asks for them."""

    title: str
    rows: tuple[Row, ...]
    more: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in degrees, in words, and the axes of the head as lines in a circle of radius 1."""

    rows: tuple[Row, ...]
    words: str
    axes: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face as pages show it; ``view`` is the cut of its small picture: x, y, side."""

    number: int
    box: tuple[float, float, float, float]
    score: float
    points: tuple[tuple[float, float], ...]
    lines: tuple[str, ...]
    view: tuple[float, float, float]
    pose: Pose | None
    sections: tuple[Section, ...]
    summary: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its faces; ``missing`` names the fields that are not filled."""

    width: int
    height: int
    faces: tuple[Portrait, ...]
    missing: tuple[str, ...]

    @property
    def unit(self) -> float:
        """Size in pixels of the picture that lines and points are drawn in proportion to."""
        return max(self.width, self.height) / 100


def picture(found: Analysis, labels: Sequence[str] = ()) -> Picture:
    """Describe an analysed picture.

    Parameters
    ----------
    labels
        What to write at each face instead of its number.
    """
    faces = tuple(
        portrait(face, number, labels[number - 1] if labels else "")
        for number, face in enumerate(found.faces, 1)
    )
    computed = {name for face in found.faces for name in face.computed()}
    wanted = [name for name in FILLED_BY if name in TITLES]
    missing = tuple(name for name in wanted if name not in computed) if faces else ()
    return Picture(found.width, found.height, faces, missing)


def portrait(face: Face, number: int, label: str = "") -> Portrait:
    """Describe a face, the ``number``-th of its picture from 1."""
    values = face.to_dict(embedding=False)
    x1, y1, x2, y2 = (float(v) for v in values["box"])
    side = 1.5 * max(x2 - x1, y2 - y1)
    sections = [
        section(TITLES.get(name, wording.name(name)), value)
        for name, value in values.items()
        if name not in _SHOWN_APART
    ]
    return Portrait(
        number=number,
        box=(x1, y1, x2, y2),
        score=face.score,
        points=tuple((float(x), float(y)) for x, y in values["keypoints"]),
        lines=_outlines(values["landmarks"]) if "landmarks" in values else (),
        view=((x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side),
        pose=pose(values["pose"]) if "pose" in values else None,
        sections=tuple(section for section in sections if section.rows),
        summary=f"{x2 - x1:.0f} by {y2 - y1:.0f} pixels, "
        f"found with {100 * face.score:.0f} % confidence",
        label=label,
    )


def section(title: str, value: Any) -> Section:
    """Return a field's section; a long one with a summary shows that, and the rest on demand."""
    found = rows(value)
    first = {wording.name(name) for name in _FIRST}
    summary = tuple(row for row in found if row.name in first)
    if summary and len(found) > _SHORT:
        return Section(title, summary, tuple(row for row in found if row.name not in first))
    return Section(title, found)


def rows(value: Any, prefix: str = "") -> tuple[Row, ...]:
    """Return the rows of a field, whatever it holds: bars for shares, text for the rest."""
    if not isinstance(value, Mapping):
        return (Row(prefix or "Value", _text(value)),)
    found: list[Row] = []
    for key in sorted(value, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST)):
        item, title = value[key], wording.name(str(key))
        title = f"{prefix}: {title}" if prefix else title
        if isinstance(item, Mapping):
            found += rows(item, title)
        elif str(key) in _SIGNED and _is_number(item) and -1 <= item <= 1:
            start, end = sorted((0.5, (1 + float(item)) / 2))
            found.append(Row(title, _signed(f"{item:+.2f}"), end - start, start))
        elif _is_number(item) and 0 <= item <= 1 and isinstance(item, float):
            found.append(Row(title, f"{item:.2f}", float(item)))
        else:
            found.append(Row(title, _text(item)))
    return tuple(found[:_MOST_ROWS])


def pose(angles: Mapping[str, float]) -> Pose:
    """Describe a head rotation; signs as in :mod:`vultus.faces`."""
    yaw, pitch, roll = (float(angles[name]) for name in ("yaw", "pitch", "roll"))
    words = [
        _turned(yaw, "turned to the picture's right", "turned to the picture's left"),
        _turned(pitch, "looking up", "looking down"),
        _turned(roll, "tilted clockwise", "tilted anticlockwise"),
    ]
    said = ", ".join(word for word in words if word) or "facing the camera"
    a, b, c = np.radians([yaw, pitch, roll])
    # The nose first goes up or down, then aside, then the picture is turned; y points down.
    forward = np.array([np.sin(a) * np.cos(b), -np.sin(b)])
    up = np.array([-np.sin(a) * np.sin(b), -np.cos(b)])
    side = np.array([np.cos(a), 0.0])
    turn = np.array([[np.cos(c), -np.sin(c)], [np.sin(c), np.cos(c)]])
    axes = tuple(
        (name, *(float(v) for v in turn @ axis))
        for name, axis in (("side", side), ("up", up), ("forward", forward))
    )
    angles_ = zip(("Yaw", "Pitch", "Roll"), (yaw, pitch, roll), strict=True)
    return Pose(tuple(Row(name, _signed(f"{v:+.0f}°")) for name, v in angles_), said, axes)  # type: ignore[arg-type]


def _turned(angle: float, positive: str, negative: str) -> str:
    if abs(angle) < 8:
        return ""
    how = "slightly " if abs(angle) < 20 else "far " if abs(angle) > 50 else ""
    return how + (positive if angle > 0 else negative)


def _outlines(points: Sequence[Sequence[float]]) -> tuple[str, ...]:
    lines = []
    for first, last, closed in _LINES:
        chosen = [*points[first : last + 1], *([points[first]] if closed else [])]
        lines.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in chosen))
    return tuple(lines)


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        between = "; " if any(isinstance(item, str) for item in value) else ", "
        return between.join(map(_text, value[:_MOST_ROWS])) or "none"
    return str(value)


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
