"""What goes into a gallery and what comes out of it."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vultus.errors import GalleryError
from vultus.faces import Embedding

MAX_NAME = 1024
# Control characters, and halves of surrogate pairs, which UTF-8 cannot hold.
_UNWANTED = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One face to be stored under a person's name.

    Parameters
    ----------
    person
        Name or identifier, 1 to 1024 characters, no control characters.
    template
        Embedding, in the gallery's space.
    source
        Where the picture came from, for people to read: a path or an address.
    source_digest
        Digest of the picture's bytes, for example SHA-256 in hexadecimal digits.
    box
        x1, y1, x2, y2 in pixels, or None when the face is the whole picture.
    quality
        Score in [0, 1], or None.
    metadata
        Anything that JSON can hold.
    """

    person: str
    template: Embedding
    source: str
    source_digest: str
    box: Sequence[float] | None = None
    quality: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def face_id(self) -> str:
        """Identifier of this face, see :func:`face_id`."""
        return face_id(self.source_digest, self.box)


def face_id(source_digest: str, box: Sequence[float] | None) -> str:
    """Return the identifier, 32 hexadecimal digits, of a face: what picture, and where in it.

    The box counts in whole pixels, so that a detector's last digits do not matter. The person does
    not count: a face belongs to one person, and keeps its identifier when that person is renamed.
    """
    corners = () if box is None else tuple(round(float(v)) for v in box)
    data = source_digest.encode() + b"\0" + struct.pack(f"<{len(corners)}q", *corners)
    return hashlib.sha256(data).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class EnrolReport:
    """What an enrolment did.

    Parameters
    ----------
    added
        Faces stored now.
    unchanged
        Faces that were stored already, under the same person.
    conflicts
        Faces that belong to someone else already, as (face_id, person stored, person offered);
        they were left as they are.
    """

    added: int = 0
    unchanged: int = 0
    conflicts: tuple[tuple[str, str, str], ...] = ()

    def __add__(self, other: EnrolReport) -> EnrolReport:
        return EnrolReport(
            self.added + other.added,
            self.unchanged + other.unchanged,
            self.conflicts + other.conflicts,
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A stored face near a probe; ``similarity`` is the raw cosine in [-1, 1]."""

    face_id: str
    person: str
    similarity: float
    source: str


@dataclass(frozen=True, slots=True)
class Identification:
    """The answer to "who is this?" in an open set.

    Parameters
    ----------
    person
        The best candidate's name when its similarity reaches the threshold, otherwise None: the
        probe is of nobody in the gallery.
    similarity
        Raw cosine of the best candidate, -1 where there is none.
    threshold
        The threshold that decided.
    candidates
        The best face of each of the nearest people, best first; all different people.
    """

    person: str | None
    similarity: float
    threshold: float
    candidates: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class StoredFace:
    """One stored face, without its template."""

    face_id: str
    person: str
    source: str
    source_digest: str
    box: tuple[float, float, float, float] | None
    quality: float | None
    metadata: Mapping[str, Any]
    enrolled: datetime


@dataclass(frozen=True, slots=True)
class Stats:
    """Size and nature of a gallery; ``bytes`` is what its folder takes on disk."""

    faces: int
    persons: int
    space: str
    dim: int
    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What :meth:`Gallery.verify` found; ``problems`` is empty when all is well."""

    faces: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_name(person: str) -> str:
    """Return the name; raise :class:`GalleryError` if it cannot be a person's."""
    if not isinstance(person, str) or not person.strip() or len(person) > MAX_NAME:
        raise GalleryError(
            f"a person's name is text of 1 to {MAX_NAME} characters, got {person!r:.80}"
        )
    if _UNWANTED.search(person):
        raise GalleryError(f"a person's name must not hold control characters, got {person!r:.80}")
    return person


def to_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON; raise :class:`GalleryError` where JSON cannot hold it."""
    if not isinstance(metadata, Mapping):
        raise GalleryError(f"metadata must be a mapping, got {type(metadata).__name__}")
    if not metadata:
        return "{}"
    try:
        return json.dumps(dict(metadata), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise GalleryError(f"metadata does not fit into JSON: {error}") from None
