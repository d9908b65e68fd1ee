"""Faces of galleries: enrolment, lists, deletion, identification."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from vultus.people import DEFAULT_FPIR
from vultus.service import enrolment
from vultus.service.errors import ApiError
from vultus.service.routes.common import (
    ANY,
    UPLOAD,
    Cursor,
    FaceId,
    GalleryName,
    Limit,
    Reader,
    ServiceIn,
    SubjectIn,
    Writer,
    failures,
    picture_body,
    upload,
)
from vultus.service.schemas import (
    PERSON,
    Changed,
    EnrolledOut,
    FacePage,
    IdentifiedOut,
    StoredFaceOut,
)

router = APIRouter(prefix="/v1/galleries/{name}", tags=["faces"])


@router.get("/faces", responses=failures(*ANY, 400, 404, 409, 503))
async def list_faces(
    service: ServiceIn,
    caller: Reader,
    name: GalleryName,
    person: Annotated[str | None, Query(max_length=1024)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FacePage:
    """List stored faces by person and identifier, without templates."""
    of = f"faces {name} {person!r}"
    after = None
    if cursor:
        owner, identifier = service.cursors.read(of, cursor)
        after = (owner, identifier)
    found = await service.read(
        name, lambda gallery: enrolment.list_faces(gallery, person, after, limit + 1)
    )
    page = found[:limit]
    following = None
    if len(found) > limit:
        following = service.cursors.make(of, [page[-1].person, page[-1].face_id])
    items = [
        StoredFaceOut(
            face_id=face.face_id,
            person=face.person,
            box=list(face.box) if face.box else None,
            enrolled=face.enrolled.isoformat(),
        )
        for face in page
    ]
    return FacePage(items=items, next_cursor=following)


@router.post(
    "/faces",
    status_code=201,
    response_model=EnrolledOut,
    responses=failures(*UPLOAD, 404, 409, 503, 507)
    | {200: {"model": EnrolledOut, "description": "Every face was stored already."}},
    openapi_extra=picture_body(
        texts={"person": {"type": "string", "pattern": PERSON, "maxLength": 1024}}, many=True
    ),
)
async def enroll(
    request: Request,
    response: Response,
    service: ServiceIn,
    caller: Writer,
    name: GalleryName,
    person: Annotated[
        str | None,
        Query(max_length=1024, description="Whose face; in a form rather the field ``person``."),
    ] = None,
    subject: SubjectIn = "largest",
) -> dict[str, Any]:
    """Enrol the face that each picture is about. When this answers, the faces are on disk.

    Enrolling a picture again changes nothing, so a request whose answer was lost is simply sent
    again.
    """
    most = service.settings.limits.pictures
    async with upload(request, service, texts=("person",), most=most) as body:
        who = body.text("person") or person
        if who is None:
            raise ApiError(422, "bad_parameter", "say whose face it is with 'person'")
        pictures = [data for _, data in body.pictures]
        done = await enrolment.enroll(service, caller, name, who, pictures, subject)
    response.status_code = 201 if done.report.added else 200
    taken = [identifier for identifier, _, _ in done.report.conflicts]
    return {
        "person": who,
        "added": done.report.added,
        "unchanged": done.report.unchanged,
        "faces": [
            {
                "index": index,
                "face_id": item.face_id,
                "box": list(item.box or ()),
                "score": score,
            }
            for index, item, score in done.faces
            if item.face_id not in taken
        ],
        "conflicts": taken,
        "skipped": [
            {"index": index, "error": enrolment.error_body(error)} for index, error in done.skipped
        ],
    }


@router.delete("/faces/{face_id}", responses=failures(*ANY, 404, 409, 503, 507))
async def delete_face(
    service: ServiceIn, caller: Writer, name: GalleryName, face_id: FaceId
) -> Changed:
    """Erase one face; no file of the gallery holds its template afterwards."""
    count = await service.write(
        name,
        lambda gallery: gallery.remove(face_id=face_id),
        "delete_face",
        caller,
        face_ids=[face_id],
    )
    return Changed(faces=count)


@router.post(
    "/identify",
    response_model=IdentifiedOut,
    responses=failures(*UPLOAD, 404, 409, 503, 507),
    openapi_extra=picture_body(),
)
async def identify(
    request: Request,
    service: ServiceIn,
    caller: Reader,
    name: GalleryName,
    fpir: Annotated[
        float, Query(gt=0, lt=1, description="Rate at which a stranger is taken for somebody.")
    ] = DEFAULT_FPIR,
    threshold: Annotated[float | None, Query(ge=-1, le=1)] = None,
    candidates: Annotated[int, Query(ge=1, le=20)] = 3,
) -> dict[str, Any]:
    """Say who is in a picture, every face; the answer may be unknown."""
    service.spend(caller)
    async with upload(request, service) as body:
        found, limit, answers = await enrolment.identify(
            service,
            caller,
            name,
            body.pictures[0][1],
            fpir=fpir,
            threshold=threshold,
            candidates=candidates,
        )
    return {
        "width": found.width,
        "height": found.height,
        "threshold": limit.to_dict(),
        "faces": [
            {
                "decision": answer.decision,
                "reason": answer.refused,
                "person": answer.person,
                "similarity": answer.similarity,
                "candidates": [
                    {"person": m.person, "similarity": m.similarity, "face_id": m.face_id}
                    for m in answer.candidates
                ],
                "face": face.to_dict(embedding=False),
            }
            for face, answer in zip(found.faces, answers, strict=True)
        ],
    }
