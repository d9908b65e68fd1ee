"""Clustering as a job: hand in pictures, ask for the state, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from vultus.service import grouping
from vultus.service.enrolment import error_body
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

_MARK = {"type": "string", "pattern": "^[0-9]{1,6}#[0-9]{1,6}=[0-9]{1,6}#[0-9]{1,6}$"}
_MARKS = {name: {"type": "array", "items": _MARK} for name in grouping.MARKS}
JobId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]


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
    async with upload(request, service, texts=grouping.MARKS, most=most) as body:
        job = grouping.start(service, caller, body, threshold)
    return _out(job)


@router.get("/jobs/{job_id}", responses=failures(*ANY, 404))
async def job_state(service: ServiceIn, caller: Reader, job_id: JobId) -> JobOut:
    """Return the state of a job, and its result once it is done."""
    return _out(service.jobs.get(job_id, caller.id))


@router.delete("/jobs/{job_id}", responses=failures(*ANY, 404))
async def cancel_job(service: ServiceIn, caller: Reader, job_id: JobId) -> JobOut:
    """Stop a job after the picture at hand, or forget the result of one that has ended."""
    return _out(service.jobs.cancel(job_id, caller.id))


def _out(job: Job) -> JobOut:
    return JobOut(
        id=job.id,
        state=job.state,
        pictures=job.total,
        analyzed=job.done,
        result=job.result,
        error=error_body(job.error) if job.error else None,  # type: ignore[arg-type]
    )
