"""Clustering as a job: hand in pictures, ask for the state, cancel."""

from __future__ import annotations

import io
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from vultus import people
from vultus.errors import VultusError
from vultus.service.core import Service
from vultus.service.enrolment import error_body
from vultus.service.errors import ApiError, from_vultus
from vultus.service.jobs import Job
from vultus.service.routes.common import (
    ANY,
    UPLOAD,
    Reader,
    ServiceIn,
    failures,
    picture_body,
    upload,
)
from vultus.service.schemas import JobOut

router = APIRouter(prefix="/v1", tags=["jobs"])

JobId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]
_LINK = re.compile(r"(\d{1,6}#\d{1,6})=(\d{1,6}#\d{1,6})")
_MARKS = ("must_link", "cannot_link")


class _Picture(io.BytesIO):
    """Encoded bytes that go by their place in the request."""

    def __init__(self, data: bytes, index: int) -> None:
        super().__init__(data)
        self.name = str(index)


@router.post(
    "/cluster",
    status_code=202,
    responses=failures(*UPLOAD),
    openapi_extra=picture_body(texts=_MARKS, raw=False, many=True),
)
async def cluster(
    request: Request,
    service: ServiceIn,
    caller: Reader,
    threshold: Annotated[float | None, Query(ge=-1, le=1)] = None,
) -> JobOut:
    """Group the faces of several pictures into people, behind the request.

    The fields ``must_link`` and ``cannot_link``, repeatable, hold marks such as ``0#0=3#1``: face 0
    of picture 0 and face 1 of picture 3.
    """
    service.jobs.check_room()
    most = service.settings.limits.job_pictures
    async with upload(request, service, texts=_MARKS, most=most) as body:
        together, apart = (_links(body.fields.get(name, [])) for name in _MARKS)
        pictures = [_Picture(data, index) for index, (_, data) in enumerate(body.pictures)]
        job = service.jobs.add(
            caller.id,
            len(pictures),
            lambda job: _cluster(service, job, pictures, threshold, together, apart),
            lambda: service.memory.give_back(held),
        )
        held = body.keep()
    return _out(job)


@router.get("/jobs/{job_id}", responses=failures(*ANY, 404))
async def job_state(service: ServiceIn, caller: Reader, job_id: JobId) -> JobOut:
    """Return the state of a job, and its result once it is done."""
    return _out(service.jobs.get(job_id, caller.id))


@router.delete("/jobs/{job_id}", responses=failures(*ANY, 404))
async def cancel_job(service: ServiceIn, caller: Reader, job_id: JobId) -> JobOut:
    """Stop a job after the picture at hand, or forget the result of one that has ended."""
    return _out(service.jobs.cancel(job_id, caller.id))


def _cluster(
    service: Service,
    job: Job,
    pictures: list[_Picture],
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


def _out(job: Job) -> JobOut:
    return JobOut(
        id=job.id,
        state=job.state,
        pictures=job.total,
        analyzed=job.done,
        result=job.result,
        error=error_body(job.error) if job.error else None,  # type: ignore[arg-type]
    )
