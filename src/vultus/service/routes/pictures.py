"""Verbs on pictures: detect, analyze, embed, verify."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from vultus.analysis import Analysis, Subject
from vultus.service.batching import EVERYTHING, Task
from vultus.service.comparing import compare
from vultus.service.core import raise_failure
from vultus.service.errors import ApiError
from vultus.service.routes.common import (
    UPLOAD,
    Reader,
    ServiceIn,
    SubjectIn,
    TemplateReader,
    failures,
    picture_body,
    upload,
)
from vultus.service.schemas import Analyzed, Detected, Embedded, Verified
from vultus.verbs import DEFAULT_FMR, choose_threshold

router = APIRouter(prefix="/v1", tags=["pictures"], responses=failures(*UPLOAD))


@router.post("/detect", response_model=Detected, openapi_extra=picture_body())
async def detect(
    request: Request,
    service: ServiceIn,
    caller: Reader,
    min_score: Annotated[float, Query(ge=0, le=1)] = 0.0,
) -> dict[str, Any]:
    """Find the faces of a picture: boxes, scores, five keypoints."""
    async with upload(request, service) as body:
        found = await service.analyze_one(body.pictures[0][1], Task())
    faces = [face for face in found.faces if face.score >= min_score]
    return {
        "width": found.width,
        "height": found.height,
        "faces": [face.to_dict(embedding=False) for face in faces],
    }


@router.post("/analyze", response_model=Analyzed, openapi_extra=picture_body(many=True))
async def analyze(request: Request, service: ServiceIn, caller: Reader) -> dict[str, Any]:
    """Say everything but templates of the faces of several pictures.

    A picture that cannot be read carries an error; the others are answered.
    """
    most = service.settings.limits.pictures
    async with upload(request, service, most=most) as body:
        found = await service.analyze([data for _, data in body.pictures], EVERYTHING)
    return {"pictures": [_picture(index, result) for index, result in enumerate(found)]}


@router.post("/embed", response_model=Embedded, openapi_extra=picture_body())
async def embed(
    request: Request,
    service: ServiceIn,
    caller: TemplateReader,
    subject: Annotated[
        Subject | None, Query(description="One face; all faces if not given.")
    ] = None,
) -> dict[str, Any]:
    """Return the templates of the faces of a picture; needs the scope ``templates``."""
    async with upload(request, service) as body:
        found = await service.analyze_one(body.pictures[0][1], Task(embed=True, subject=subject))
    return {
        "width": found.width,
        "height": found.height,
        "faces": [face.to_dict() for face in found.faces],
    }


@router.post(
    "/verify", response_model=Verified, openapi_extra=picture_body(("first", "second"), raw=False)
)
async def verify(
    request: Request,
    service: ServiceIn,
    caller: Reader,
    fmr: Annotated[float, Query(gt=0, lt=1, description="False match rate.")] = DEFAULT_FMR,
    threshold: Annotated[float | None, Query(ge=-1, le=1)] = None,
    subject: SubjectIn = "largest",
) -> dict[str, Any]:
    """Decide whether two pictures show the same person."""
    limit = choose_threshold(service.calibration, fmr=fmr, threshold=threshold)
    service.spend(caller)
    async with upload(request, service, names=("first", "second"), most=2) as body:
        pictures = body.only("first", "second")
        done = await compare(service, pictures, limit, subject)
    return done.to_dict()


def _picture(index: int, found: Analysis) -> dict[str, Any]:
    try:
        raise_failure(found)
        error = None
    except ApiError as failure:
        error = {"code": failure.code, "message": failure.detail}
    return {
        "index": index,
        "width": found.width,
        "height": found.height,
        "faces": [face.to_dict(embedding=False) for face in found.faces],
        "error": error,
    }
