"""The routes of CompreFace's recognition service that most programs use, on one gallery.

Paths, parameters and fields of success are theirs; ``similarity`` is the raw cosine, failures have
this service's shape, and scopes of the key are checked. docs/service.md lists the differences.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from vultus.faces import Face
from vultus.people import DEFAULT_FPIR
from vultus.service import enrolment
from vultus.service.batching import Task
from vultus.service.core import raise_failure
from vultus.service.errors import ApiError
from vultus.service.routes.common import (
    ANY,
    UPLOAD,
    FaceId,
    PersonName,
    Reader,
    ServiceIn,
    Writer,
    failures,
    picture_body,
    upload,
)
from vultus.service.schemas import PERSON

MinScore = Annotated[float, Query(ge=0, le=1)]
Most = Annotated[int, Query(ge=0, le=100, description="Faces in the answer; 0 for all.")]


def router_for(gallery: str) -> APIRouter:
    """Return the router of a gallery."""
    router = APIRouter(prefix="/api/v1", tags=["compreface"])
    _recognition(router, gallery)
    _faces(router, gallery)
    _subjects(router, gallery)
    _verification(router)
    return router


def _recognition(router: APIRouter, gallery: str) -> None:
    """Add the route that names faces."""

    @router.post(
        "/recognition/recognize",
        responses=failures(*UPLOAD, 404, 503, 507),
        openapi_extra=picture_body(),
    )
    async def recognize(
        request: Request,
        service: ServiceIn,
        caller: Reader,
        limit: Most = 0,
        det_prob_threshold: MinScore = 0.0,
        prediction_count: Annotated[int, Query(ge=1, le=20)] = 1,
    ) -> dict[str, Any]:
        """Return the nearest people of every face, whether similar enough or not."""
        service.spend(caller)
        async with upload(request, service) as body:
            found, _, answers = await enrolment.identify(
                service,
                caller,
                gallery,
                body.pictures[0][1],
                fpir=DEFAULT_FPIR,
                threshold=-1.0,
                candidates=prediction_count,
            )
        pairs = [
            (face, answer)
            for face, answer in zip(found.faces, answers, strict=True)
            if face.score >= det_prob_threshold
        ]
        if not pairs:
            raise ApiError(422, "no_face", "no face was found")
        return {
            "result": [
                {
                    "box": _box(face),
                    "subjects": [
                        {"subject": m.person, "similarity": m.similarity} for m in answer.candidates
                    ],
                }
                for face, answer in pairs[: limit or None]
            ]
        }


def _faces(router: APIRouter, gallery: str) -> None:
    """Add the routes of stored faces."""

    @router.post(
        "/recognition/faces",
        status_code=201,
        responses=failures(*UPLOAD, 404, 409, 503, 507),
        openapi_extra=picture_body(),
    )
    async def add_face(
        request: Request,
        service: ServiceIn,
        caller: Writer,
        subject: Annotated[str, Query(min_length=1, max_length=1024, pattern=PERSON)],
    ) -> dict[str, str]:
        """Enrol the face of a picture, which must show exactly one."""
        async with upload(request, service) as body:
            done = await enrolment.enroll(
                service, caller, gallery, subject, [body.pictures[0][1]], "only"
            )
        return {"image_id": done.faces[0][1].face_id, "subject": subject}

    @router.get("/recognition/faces", responses=failures(*ANY, 404, 503))
    async def list_faces(
        service: ServiceIn,
        caller: Reader,
        page: Annotated[int, Query(ge=0, le=10**6)] = 0,
        size: Annotated[int, Query(ge=1, le=200)] = 20,
        subject: Annotated[str | None, Query(max_length=1024)] = None,
    ) -> dict[str, Any]:
        """List stored faces by page."""
        found, total = await service.read(
            gallery, lambda store: enrolment.page_of_faces(store, subject, page * size, size)
        )
        return {
            "faces": [{"image_id": face.face_id, "subject": face.person} for face in found],
            "page_number": page,
            "page_size": size,
            "total_pages": -(-total // size),
            "total_elements": total,
        }

    @router.delete("/recognition/faces/{image_id}", responses=failures(*ANY, 404, 503, 507))
    async def delete_face(service: ServiceIn, caller: Writer, image_id: FaceId) -> dict[str, str]:
        """Erase one face."""
        await service.write(
            gallery,
            lambda store: store.remove(face_id=image_id),
            "delete_face",
            caller,
            face_ids=[image_id],
        )
        return {"image_id": image_id}


def _subjects(router: APIRouter, gallery: str) -> None:
    """Add the routes of people."""

    @router.get("/recognition/subjects", responses=failures(*ANY, 404, 503))
    async def list_subjects(service: ServiceIn, caller: Reader) -> dict[str, list[str]]:
        """List the names of everyone."""
        return {"subjects": list(await service.read(gallery, lambda store: store.persons()))}

    @router.delete("/recognition/subjects/{subject:path}", responses=failures(*ANY, 404, 503, 507))
    async def delete_subject(
        service: ServiceIn, caller: Writer, subject: PersonName
    ) -> dict[str, str]:
        """Erase a person."""
        await service.write(
            gallery,
            lambda store: store.remove(person=subject),
            "delete_person",
            caller,
            person=subject,
        )
        return {"subject": subject}


def _verification(router: APIRouter) -> None:
    """Add the route that compares two pictures."""

    @router.post(
        "/verification/verify",
        responses=failures(*UPLOAD),
        openapi_extra=picture_body(("source_image", "target_image"), raw=False),
    )
    async def verify(
        request: Request,
        service: ServiceIn,
        caller: Reader,
        limit: Most = 0,
        det_prob_threshold: MinScore = 0.0,
    ) -> dict[str, Any]:
        """Compare the only face of one picture with every face of another."""
        service.spend(caller)
        names = ("source_image", "target_image")
        async with upload(request, service, names=names, most=2) as body:
            found = await service.analyze(body.only(*names), Task(embed=True))
        for name, result in zip(names, found, strict=True):
            raise_failure(result, field=name)
        source, targets = (
            [face for face in result.faces if face.score >= det_prob_threshold] for result in found
        )
        if len(source) != 1 or not targets:
            raise ApiError(422, "no_face", "wanted one face in source_image, some in target_image")
        matches = [
            {"box": _box(face), "similarity": source[0].embedding.similarity(face.embedding)}
            for face in targets[: limit or None]
        ]
        return {
            "result": [{"source_image_face": {"box": _box(source[0])}, "face_matches": matches}]
        }


def _box(face: Face) -> dict[str, float]:
    x1, y1, x2, y2 = (round(value) for value in face.box.tolist())
    return {"probability": face.score, "x_min": x1, "y_min": y1, "x_max": x2, "y_max": y2}
