"""Pages on grouping: hand in pictures, watch the work, name the people."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response

from vultus.service import grouping
from vultus.service.errors import ApiError
from vultus.service.jobs import Job
from vultus.service.pages.access import (
    TOKEN,
    ReaderHere,
    Visitor,
    WriterHere,
    caller_of,
    checked,
    read_fields,
)
from vultus.service.pages.galleries import token_of
from vultus.service.pages.rendering import page, seen_other, wants_fragment
from vultus.service.routes.common import upload

router = APIRouter(include_in_schema=False)

_NAME = re.compile(r"name-(\d{1,4})")


@router.get("/group")
async def ask(request: Request, visitor: ReaderHere) -> Response:
    """Ask for pictures."""
    return await _shown(request, visitor, None)


@router.post("/group")
async def begin(request: Request, visitor: ReaderHere) -> Response:
    """Start to group pictures."""
    service = visitor.service
    service.jobs.check_room()
    most = service.settings.limits.job_pictures
    async with upload(request, service, texts=(TOKEN,), most=most) as body:
        checked(request, visitor, body)
        job = grouping.start(service, caller_of(visitor), body, None)
    if not wants_fragment(request):
        return seen_other(f"/group/{job.id}")
    return await _shown(request, visitor, job)


@router.get("/group/{job_id}")
async def watch(request: Request, visitor: ReaderHere, job_id: str) -> Response:
    """Show how far a job is, or its groups."""
    return await _shown(request, visitor, _job(visitor, job_id))


@router.post("/group/{job_id}/stop")
async def stop(request: Request, visitor: ReaderHere, job_id: str) -> Response:
    """Stop a job, or forget its result."""
    await read_fields(request, visitor)
    visitor.service.jobs.cancel(job_id, caller_of(visitor).id)
    return seen_other("/group")


@router.post("/group/{job_id}/names")
async def name_people(request: Request, visitor: WriterHere, job_id: str) -> Response:
    """Enrol the groups that were given names."""
    fields, job = await read_fields(request, visitor), _job(visitor, job_id)
    names = {
        int(match[1]): fields.text(match[0])
        for match in map(_NAME.fullmatch, fields.names())
        if match and fields.text(match[0])
    }
    gallery = fields.text("gallery")
    if not names:
        raise ApiError(422, "bad_parameter", "name at least one of the people")
    reports = await grouping.enrol(visitor.service, caller_of(visitor), gallery, job, names)
    done = [
        (person, report, token_of(visitor, gallery, person)) for person, report in reports.items()
    ]
    return await _shown(request, visitor, job, {"gallery": gallery, "people": done})


def _job(visitor: Visitor, identifier: str) -> Job:
    return visitor.service.jobs.get(identifier, caller_of(visitor).id)


async def _shown(
    request: Request, visitor: Visitor, job: Job | None, named: object = None
) -> Response:
    names = await visitor.service.in_thread(visitor.service.galleries.names)
    return page(
        request,
        visitor,
        "group.html",
        here="group",
        job=job,
        named=named,
        galleries=names,
        seconds_kept=visitor.service.settings.jobs.seconds_kept,
    )
