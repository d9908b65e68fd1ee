"""Galleries: making, listing and deleting them, and the people in them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from vultus.gallery import Gallery
from vultus.service.routes.common import (
    ANY,
    Admin,
    Cursor,
    GalleryName,
    Limit,
    PersonName,
    Reader,
    ServiceIn,
    Writer,
    failures,
)
from vultus.service.schemas import (
    Changed,
    GalleryIn,
    GalleryOut,
    GalleryPage,
    MergeIn,
    PersonIn,
    PersonOut,
    PersonPage,
)

router = APIRouter(
    prefix="/v1/galleries",
    tags=["galleries"],
    responses=failures(*ANY, 400, 404, 409, 413, 503, 507),
)


@router.get("")
async def list_galleries(
    service: ServiceIn, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> GalleryPage:
    """List the galleries by name."""
    after = service.cursors.read("galleries", cursor)[0] if cursor else ""
    names = await service.in_thread(service.galleries.names)
    rest = [name for name in names if name > after]
    page = rest[:limit]
    following = service.cursors.make("galleries", [page[-1]]) if len(rest) > limit else None
    return GalleryPage(items=page, next_cursor=following)


@router.post("", status_code=201)
async def create_gallery(service: ServiceIn, caller: Admin, body: GalleryIn) -> GalleryOut:
    """Make an empty gallery; needs the scope ``admin``."""
    gallery = await service.manage(body.name, service.galleries.create, "create_gallery", caller)
    return GalleryOut(**await service.in_thread(_info, body.name, gallery))


@router.get("/{name}")
async def gallery_info(service: ServiceIn, caller: Reader, name: GalleryName) -> GalleryOut:
    """Return the size and nature of a gallery."""
    return GalleryOut(**await service.read(name, lambda gallery: _info(name, gallery)))


@router.delete("/{name}")
async def delete_gallery(service: ServiceIn, caller: Admin, name: GalleryName) -> Changed:
    """Erase a gallery with everyone in it; needs the scope ``admin``."""
    count = await service.manage(name, service.galleries.delete, "delete_gallery", caller)
    return Changed(faces=count)


@router.get("/{name}/persons")
async def list_persons(
    service: ServiceIn, caller: Reader, name: GalleryName, limit: Limit = 50, cursor: Cursor = None
) -> PersonPage:
    """List the people of a gallery by name."""
    of = f"persons {name}"
    after = service.cursors.read(of, cursor)[0] if cursor else ""
    counts = await service.read(name, lambda gallery: gallery.persons())
    rest = [person for person in counts if person > after]
    page = rest[:limit]
    following = service.cursors.make(of, [page[-1]]) if len(rest) > limit else None
    items = [PersonOut(person=person, faces=counts[person]) for person in page]
    return PersonPage(items=items, next_cursor=following)


@router.post("/{name}/persons/merge")
async def merge_persons(
    service: ServiceIn, caller: Writer, name: GalleryName, body: MergeIn
) -> Changed:
    """Make several people one; ``faces`` counts those that moved."""
    count = await service.write(
        name,
        lambda gallery: gallery.merge(body.persons, body.into),
        "merge",
        caller,
        into=body.into,
        count=len(body.persons),
    )
    return Changed(faces=count)


@router.patch("/{name}/persons/{person:path}")
async def rename_person(
    service: ServiceIn, caller: Writer, name: GalleryName, person: PersonName, body: PersonIn
) -> Changed:
    """Give a person another name."""
    count = await service.write(
        name,
        lambda gallery: gallery.rename(person, body.person),
        "rename",
        caller,
        person=person,
        into=body.person,
    )
    return Changed(faces=count)


@router.delete("/{name}/persons/{person:path}")
async def delete_person(
    service: ServiceIn, caller: Writer, name: GalleryName, person: PersonName
) -> Changed:
    """Erase a person; no file of the gallery holds their templates afterwards."""
    count = await service.write(
        name, lambda gallery: gallery.remove(person=person), "delete_person", caller, person=person
    )
    return Changed(faces=count)


def _info(name: str, gallery: Gallery) -> dict[str, Any]:
    stats = gallery.stats()
    return {
        "name": name,
        "faces": stats.faces,
        "persons": stats.persons,
        "space": stats.space,
        "dim": stats.dim,
        "bytes": stats.bytes,
    }
