"""Galleries: faces of known people on disk, protected, searched exactly, and clustered."""

from vultus.gallery.gallery import Gallery
from vultus.gallery.keys import Key
from vultus.gallery.records import (
    Enrolment,
    EnrolReport,
    Identification,
    IntegrityReport,
    Match,
    Stats,
    StoredFace,
    face_id,
)

__all__ = [
    "EnrolReport",
    "Enrolment",
    "Gallery",
    "Identification",
    "IntegrityReport",
    "Key",
    "Match",
    "Stats",
    "StoredFace",
    "face_id",
]
