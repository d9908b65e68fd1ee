"""Grouping uploaded pictures by person as a job, and enrolling the groups under names."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vultus import people
from vultus.errors import VultusError
from vultus.gallery import Enrolment, EnrolReport, Gallery
from vultus.gallery.records import check_name
from vultus.people import Clustering
from vultus.service.core import Service
from vultus.service.errors import ApiError, from_vultus
from vultus.service.jobs import Job
from vultus.service.keys import Caller
from vultus.service.uploads import Upload

_LINK = re.compile(r"(\d{1,6}#\d{1,6})=(\d{1,6}#\d{1,6})")
MARKS = ("must_link", "cannot_link")


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """What a job keeps beside its answer: the faces with their templates, and no picture.

    Parameters
    ----------
    clustering
        Sources are the places of the pictures in the request, as text.
    digests
        SHA-256 of each picture.
    """

    clustering: Clustering
    digests: tuple[str, ...]


class _Picture(io.BytesIO):
    """Encoded bytes that go by their place in the request."""

    def __init__(self, data: bytes, index: int) -> None:
        super().__init__(data)
        self.name = str(index)


def start(service: Service, caller: Caller, body: Upload, threshold: float | None) -> Job:
    """Queue the grouping of a body's pictures; the job takes over the body's memory.

    The fields of :data:`MARKS` hold marks such as ``0#0=3#1``.

    Raises
    ------
    ApiError
        422 for a mark that cannot be read; 429 if no further job may wait.
    """
    together, apart = (_links(body.fields.get(name, [])) for name in MARKS)
    pictures = [_Picture(data, index) for index, (_, data) in enumerate(body.pictures)]
    job = service.jobs.add(
        caller.id,
        len(pictures),
        lambda job: _group(service, job, pictures, threshold, together, apart),
        lambda: service.memory.give_back(held),
    )
    held = body.keep()
    return job


async def enrol(
    service: Service, caller: Caller, gallery: str, job: Job, names: Mapping[int, str]
) -> dict[str, EnrolReport]:
    """Enrol groups of a finished job under names; return what became of each name.

    Parameters
    ----------
    names
        Name of the person by the number of the group; groups without one are left out.

    Raises
    ------
    ApiError
        404 without such a gallery, 409 before the job is done, 422 for a number or name that
        cannot be used.
    """
    kept = job.kept
    if not isinstance(kept, Grouped):
        raise ApiError(409, "conflict", "the pictures are not grouped yet")
    groups = kept.clustering.people()
    if not names or not set(names) <= set(range(len(groups))):
        raise ApiError(422, "bad_parameter", "name at least one of the groups of this job")
    await service.read(gallery, lambda _: [check_name(name) for name in names.values()])
    reports: dict[str, EnrolReport] = {}
    for number, person in sorted(names.items()):
        items = [
            Enrolment(
                person=person,
                template=item.face.embedding,
                source="upload",
                source_digest=kept.digests[int(item.source)],
                box=tuple(item.face.box.tolist()),
                metadata={"score": item.face.score, "detector": service.analyzer.detector.name},
            )
            for item in groups[number]
        ]
        report = await service.write(
            gallery,
            partial(Gallery.enroll, items=items),
            "enrol",
            caller,
            person=person,
            face_ids=[item.face_id for item in items],
        )
        reports[person] = reports.get(person, EnrolReport()) + report
    return reports


def _group(
    service: Service,
    job: Job,
    pictures: Sequence[_Picture],
    threshold: float | None,
    together: list[tuple[str, str]],
    apart: list[tuple[str, str]],
) -> dict[str, Any]:
    try:
        grouped = people.cluster(
            pictures,
            threshold=threshold,
            must_link=together,
            cannot_link=apart,
            analyzer=service.analyzer,
            calibration=service.calibration,
            progress=job.step,
        )
    except VultusError as error:
        raise from_vultus(error) or error from error
    digests = tuple(hashlib.sha256(picture.getbuffer()).hexdigest() for picture in pictures)
    job.kept = Grouped(grouped, digests)
    return {
        "threshold": grouped.threshold,
        "people": [
            [{"picture": int(f.source), "face": f.index, "box": f.face.box.tolist()} for f in group]
            for group in grouped.people()
        ],
        "skipped": [
            {"picture": int(name), "reason": reason.partition("; raise it with")[0]}
            for name, reason in grouped.skipped
        ],
    }


def _links(texts: list[str]) -> list[tuple[str, str]]:
    found = [_LINK.fullmatch(text) for text in texts]
    if not all(found):
        raise ApiError(
            422, "bad_parameter", "a mark is written PICTURE#FACE=PICTURE#FACE, in numbers from 0"
        )
    return [(match[1], match[2]) for match in found if match]
