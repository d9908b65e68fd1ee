"""Enrolling and identifying uploaded pictures; the routes of both interfaces use it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vultus.analysis import Analysis, Subject
from vultus.gallery import Enrolment, EnrolReport, Gallery, Identification, Match, StoredFace
from vultus.gallery.records import check_name
from vultus.people import SearchThreshold
from vultus.quality.gate import refusal
from vultus.service.batching import Task
from vultus.service.core import Service, raise_failure
from vultus.service.errors import ApiError
from vultus.service.keys import Caller
from vultus.service.searching import Question


@dataclass(slots=True)
class Enrolling:
    """What was made of the pictures of one enrolment."""

    report: EnrolReport = field(default_factory=EnrolReport)
    faces: list[tuple[int, Enrolment, float]] = field(default_factory=list)
    skipped: list[tuple[int, ApiError]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """Who a face is, or why it was not searched for."""

    person: str | None
    similarity: float | None
    candidates: Sequence[Match]
    refused: str | None = None

    @classmethod
    def of(cls, found: Identification) -> Answer:
        """Return the answer of a search."""
        return cls(found.person, found.similarity, found.candidates)

    @classmethod
    def refusing(cls, why: str) -> Answer:
        """Return the answer to a face that is not good enough."""
        return cls(None, None, (), why)

    @property
    def decision(self) -> str:
        """``known``, ``unknown`` or ``refused``."""
        if self.refused is not None:
            return "refused"
        return "unknown" if self.person is None else "known"


async def enroll(
    service: Service,
    caller: Caller,
    gallery: str,
    person: str,
    pictures: list[bytes],
    subject: Subject,
) -> Enrolling:
    """Enrol pictures of one person.

    Raises
    ------
    ApiError
        404 without such a gallery, 409 if every face belongs to someone else already, 422 if no
        picture can be used.
    """
    # Before any work is spent: is there such a gallery, can this be a name?
    await service.read(gallery, lambda _: check_name(person))
    least = service.settings.min_quality
    fields = ("quality",) if least else ()
    found = await service.analyze(pictures, Task(embed=True, fields=fields, subject=subject))
    done = Enrolling()
    for index, (data, result) in enumerate(zip(pictures, found, strict=True)):
        try:
            raise_failure(result, index=index)
            if least and (why := refusal(result.faces[0].quality, least)):
                details = {"index": index, "quality": result.faces[0].quality["overall"]}
                raise ApiError(422, "low_quality", why, details)
        except ApiError as error:
            done.skipped.append((index, error))
            continue
        face = result.faces[0]
        item = Enrolment(
            person=person,
            template=face.embedding,
            source="upload",
            source_digest=hashlib.sha256(data).hexdigest(),
            box=tuple(face.box.tolist()),
            metadata={"score": face.score, "detector": service.analyzer.detector.name},
        )
        done.faces.append((index, item, face.score))
    if not done.faces:
        raise done.skipped[0][1]
    items = [item for _, item, _ in done.faces]
    done.report = await service.write(
        gallery,
        lambda store: store.enroll(items),
        "enrol",
        caller,
        person=person,
        face_ids=[item.face_id for item in items],
    )
    taken = [identifier for identifier, _, _ in done.report.conflicts]
    if len(taken) == len(items):
        raise ApiError(
            409, "conflict", "the face is stored under another person", {"face_ids": taken}
        )
    return done


async def identify(
    service: Service,
    caller: Caller,
    gallery: str,
    picture: bytes,
    *,
    fpir: float,
    threshold: float | None,
    candidates: int,
) -> tuple[Analysis, SearchThreshold, list[Answer]]:
    """Say who is in a picture; faces of too low a quality are not searched for.

    Raises
    ------
    ApiError
        404 without such a gallery, 422 if the picture cannot be read.
    """
    # Before any work is spent: is there such a gallery?
    service.galleries.require(gallery)
    least = service.settings.min_quality
    fields = ("quality",) if least else ()
    found = await service.analyze_one(picture, Task(embed=True, fields=fields))
    refused = [refusal(face.quality, least) if least else None for face in found.faces]
    passed = [face for face, why in zip(found.faces, refused, strict=True) if why is None]
    limit, searched = await service.searches.identify(
        gallery, [face.embedding for face in passed], Question(fpir, threshold, candidates)
    )
    given = iter(searched)
    answers = [Answer.refusing(why) if why else Answer.of(next(given)) for why in refused]
    known = sum(answer.person is not None for answer in answers)
    await service.note_search(caller, gallery=gallery, faces=len(answers), known=known)
    return found, limit, answers


def list_faces(
    gallery: Gallery, person: str | None, after: tuple[str, str] | None, count: int
) -> list[StoredFace]:
    """Return up to ``count`` stored faces by person and identifier, from a place on.

    Reads person by person, so that memory does not grow with the gallery.
    """

    def people() -> Iterator[str]:
        if person is not None:
            yield person
        else:
            yield from (name for name in gallery.persons() if after is None or name >= after[0])

    found: list[StoredFace] = []
    for name in people():
        faces = gallery.faces(name)
        if after is not None and name == after[0]:
            faces = [face for face in faces if face.face_id > after[1]]
        found += faces
        if len(found) >= count:
            break
    return found[:count]


def page_of_faces(
    gallery: Gallery, person: str | None, start: int, count: int
) -> tuple[list[StoredFace], int]:
    """Return ``count`` stored faces from a place on, in the same order, and how many there are."""
    counts = gallery.persons()
    if person is not None:
        counts = {person: counts[person]} if person in counts else {}
    found: list[StoredFace] = []
    skipped = 0
    for name, faces in counts.items():
        if skipped + faces > start and len(found) < count:
            found += gallery.faces(name)[max(0, start - skipped) :]
        skipped += faces
    return found[:count], skipped


def error_body(error: ApiError) -> dict[str, Any]:
    """Return an error as a part of a larger answer."""
    return {"code": error.code, "message": str(error.detail), "details": error.details}
