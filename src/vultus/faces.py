"""Result types: what predictors say about one face.

Conventions, everywhere in Vultus:

* coordinates are pixels of the upright picture (EXIF orientation applied), x to the right, y down,
  the centre of the top-left pixel at (0, 0);
* "left" and "right" are the image's, not the person's;
* angles are degrees: yaw > 0 when the nose points to the image's right, pitch > 0 when it points
  up, roll > 0 when the head turns clockwise in the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import NotComputedError, SpaceMismatchError, VultusError
from vultus.parts import FaceParts

if TYPE_CHECKING:
    import pandas

FloatArray = NDArray[np.float32]

_UNSET: Any = object()

#: Which predictor fills which optional field of a face.
FILLED_BY: Mapping[str, str] = {
    "landmarks": "landmarks",
    "pose": "pose",
    "quality": "quality",
    "liveness": "liveness",
    "embedding": "embedding",
    "expression": "expression",
    "attributes": "attributes",
    "parts": "parts",
}

_MAPPINGS = ("quality", "liveness", "expression", "attributes")


@dataclass(frozen=True, slots=True)
class Pose:
    """Head rotation in degrees, each in [-180, 180]; signs as in the module's conventions."""

    yaw: float
    pitch: float
    roll: float

    def to_dict(self) -> dict[str, float]:
        """Return the angles by name."""
        return {"yaw": self.yaw, "pitch": self.pitch, "roll": self.roll}


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face template: a unit vector and the space in which it may be compared.

    Parameters
    ----------
    vector
        float32 (D,), made unit length on construction, then read-only. A vector that is of unit
        length to within float32 rounding is kept bit for bit, so that copies compare equal.
    space
        Identifier of the model, its file digest and its alignment. Vectors of two spaces have
        nothing to do with each other, and comparing them raises :class:`SpaceMismatchError`.
    """

    vector: FloatArray
    space: str

    def __post_init__(self) -> None:
        vector = np.array(self.vector, np.float64)
        norm = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
        if not np.isfinite(norm) or norm == 0.0:
            raise VultusError(
                f"an embedding must be a finite non-zero vector, got shape {vector.shape}"
            )
        if abs(norm - 1.0) > 1e-6:
            vector /= norm
        vector = vector.astype(np.float32)
        vector.flags.writeable = False
        object.__setattr__(self, "vector", vector)

    def __reduce__(self) -> tuple[Any, ...]:
        # The generated state would bring the vector back writeable.
        return Embedding, (np.array(self.vector), self.space)

    def similarity(self, other: Embedding) -> float:
        """Return the raw cosine in [-1, 1]; raise :class:`SpaceMismatchError` across spaces."""
        if self.space != other.space:
            raise SpaceMismatchError(
                f"cannot compare embeddings of {self.space!r} and {other.space!r}; "
                "compute both with the same model"
            )
        return float(np.clip(self.vector @ other.vector, -1.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """Return the vector as a list of floats, and the space."""
        return {"space": self.space, "vector": self.vector.tolist()}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Face:
    """One face of one picture.

    Reading an optional field that was not computed raises
    :class:`~vultus.errors.NotComputedError` naming the predictor that fills it.

    Parameters
    ----------
    box
        float32 (4,): x1, y1, x2, y2 in pixels; it may reach over the picture's edge.
    score
        Detection confidence in [0, 1].
    keypoints
        float32 (5, 2): image-left eye, image-right eye, nose tip, image-left mouth corner,
        image-right mouth corner.
    landmarks
        float32 (68, 2), the iBUG order.
    pose
        Head rotation.
    quality
        ``overall`` score and components by name, in [0, 1]; ``reasons``, a list of sentences.
    liveness
        ``decision``, ``bona fide`` or ``attack``, with ``score`` and ``threshold``, and a
        ``warning`` of what it is worth.
    embedding
        Template for recognition.
    expression
        Probabilities by expression name, valence and arousal in [-1, 1].
    attributes
        Age in years, sex and others by name.
    parts
        Shares of skin, brows, eyes, nose, lips, mouth and hair, and the mask on demand. JSON and
        tables hold the shares.
    """

    box: FloatArray
    score: float
    keypoints: FloatArray
    landmarks: FloatArray = _UNSET
    pose: Pose = _UNSET
    quality: Mapping[str, Any] = _UNSET
    liveness: Mapping[str, Any] = _UNSET
    embedding: Embedding = _UNSET
    expression: Mapping[str, float] = _UNSET
    attributes: Mapping[str, Any] = _UNSET
    parts: FaceParts = _UNSET

    def __post_init__(self) -> None:
        for name, shape in (("box", (4,)), ("keypoints", (5, 2)), ("landmarks", (68, 2))):
            value = getattr(self, name)
            if value is _UNSET:
                continue
            array = np.array(value, np.float32)
            if array.shape != shape or not np.isfinite(array).all():
                raise VultusError(f"Face.{name} must be finite with shape {shape}, got {value!r}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not self.box[0] < self.box[2] or not self.box[1] < self.box[3]:
            raise VultusError(f"Face.box must be x1 < x2, y1 < y2, got {self.box.tolist()}")
        object.__setattr__(self, "score", float(self.score))
        if not 0.0 <= self.score <= 1.0:
            raise VultusError(f"Face.score must lie in [0, 1], got {self.score}")
        for name in FILLED_BY:
            value = getattr(self, name)
            if value is _UNSET:
                object.__delattr__(self, name)
            elif name in _MAPPINGS:
                object.__setattr__(self, name, MappingProxyType(dict(value)))

    def __getattr__(self, name: str) -> Any:
        # Reached only when the slot is empty.
        if name in FILLED_BY:
            raise NotComputedError(
                f"Face.{name} was not computed: run the {FILLED_BY[name]!r} predictor first"
            )
        raise AttributeError(f"'Face' object has no attribute {name!r}")

    def __repr__(self) -> str:
        box = ", ".join(f"{v:.1f}" for v in self.box)
        return f"Face(box=[{box}], score={self.score:.3f}, computed={list(self.computed())})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The generated state would read empty slots; plain values would lose the mask.
        parts = self.parts if hasattr(self, "parts") else None
        return _rebuilt, (self.to_dict(), parts)

    @property
    def width(self) -> float:
        """Box width in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Box height in pixels."""
        return float(self.box[3] - self.box[1])

    def computed(self) -> tuple[str, ...]:
        """Return the names of the optional fields that are filled."""
        return tuple(name for name in FILLED_BY if hasattr(self, name))

    def replace(self, **changes: Any) -> Face:
        """Return a copy with some fields set.

        Raises
        ------
        VultusError
            If there is no such field.
        """
        known = {f.name for f in fields(self)}
        unknown = changes.keys() - known
        if unknown:
            raise VultusError(f"Face has no field {sorted(unknown)}; known: {sorted(known)}")
        kept = {name: getattr(self, name) for name in known if hasattr(self, name)}
        return Face(**(kept | changes))

    def to_dict(self, *, embedding: bool = True) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts, ready for JSON.

        Parameters
        ----------
        embedding
            Whether to include the template; leave it out of logs.
        """
        out: dict[str, Any] = {}
        for f in fields(self):
            if not hasattr(self, f.name) or (f.name == "embedding" and not embedding):
                continue
            out[f.name] = _plain(getattr(self, f.name))
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Face:
        """Rebuild a face from :meth:`to_dict`; raise :class:`VultusError` on other keys."""
        values = dict(data)
        unknown = values.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise VultusError(f"Face has no field {sorted(unknown)}")
        missing = {"box", "score", "keypoints"} - values.keys()
        if missing:
            raise VultusError(f"a face needs {sorted(missing)}")
        if "pose" in values:
            values["pose"] = Pose(**values["pose"])
        if "embedding" in values:
            template = values["embedding"]
            vector = np.asarray(template["vector"], np.float32)
            values["embedding"] = Embedding(vector, template["space"])
        if "parts" in values:
            values["parts"] = FaceParts(values["parts"])
        return cls(**values)


def _rebuilt(data: Mapping[str, Any], parts: FaceParts | None) -> Face:
    face = Face.from_dict(data)
    return face if parts is None else face.replace(parts=parts)


def _plain(value: Any) -> Any:
    if isinstance(value, (Pose, Embedding, FaceParts)):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def flatten(face: Face) -> dict[str, Any]:
    """Return one flat row per face: numbers and strings only, no template.

    Column names are ``x1 y1 x2 y2 score``, ``left_eye_x`` ..., then ``field_key`` for each filled
    optional field (``pose_yaw``, ``quality_overall``); landmarks become ``landmark_00_x`` ...
    """
    row: dict[str, Any] = dict(zip(("x1", "y1", "x2", "y2"), face.box.tolist(), strict=True))
    row["score"] = face.score
    names = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for name, (x, y) in zip(names, face.keypoints.tolist(), strict=True):
        row[f"{name}_x"], row[f"{name}_y"] = x, y
    for field in face.computed():
        if field == "embedding":
            continue
        if field == "landmarks":
            for i, (x, y) in enumerate(face.landmarks.tolist()):
                row[f"landmark_{i:02d}_x"], row[f"landmark_{i:02d}_y"] = x, y
            continue
        for key, value in _plain(getattr(face, field)).items():
            row[f"{field}_{key}"] = " | ".join(value) if isinstance(value, list) else value
    return row


def to_pandas(faces: Iterable[Face]) -> pandas.DataFrame:
    """Return a table with one row per face, columns as in :func:`flatten`; needs pandas.

    Raises
    ------
    VultusError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise VultusError("to_pandas needs pandas: pip install pandas") from error
    return pandas.DataFrame([flatten(face) for face in faces])
