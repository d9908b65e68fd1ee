"""Changes of galleries made by the pages, each with the way back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vultus.gallery import Gallery
from vultus.gallery.moving import assign, put_back, withdraw
from vultus.service.core import Service
from vultus.service.errors import ApiError
from vultus.service.keys import Caller

#: Seconds for which a change can be undone, changes kept, and erased faces kept in all.
SECONDS = 600.0
_MOST = 64
_FACES = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Slip:
    """A change that was made, and how to take it back.

    Parameters
    ----------
    owner
        Id of the key that made it; nobody else may undo it.
    said
        What was done, for people.
    faces
        Erased faces that it holds in memory.
    back
        Takes the change back and returns how many faces that touched; None where too many faces
        were erased to keep them.
    """

    id: str
    owner: str
    gallery: str
    said: str
    faces: int
    ends: float
    back: Callable[[Gallery], int] | None


class Shelf:
    """Slips in memory: those of the last minutes, at most so many, for their owners alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slips: dict[str, Slip] = {}

    def put(
        self,
        owner: Caller,
        gallery: str,
        said: str,
        back: Callable[[Gallery], int],
        faces: int = 0,
    ) -> Slip:
        """Keep the way back of a change that was made."""
        way = back if faces <= _FACES else None
        held = faces if way else 0
        slip = Slip(
            secrets.token_urlsafe(16), owner.id, gallery, said, held, self._clock() + SECONDS, way
        )
        self._slips[slip.id] = slip
        self._forget()
        # Also where nobody asks again: slips may hold templates.
        asyncio.get_running_loop().call_later(SECONDS + 1, self._forget)
        return slip

    def get(self, identifier: str, owner: Caller) -> Slip | None:
        """Return a slip if it is this caller's and still good."""
        self._forget()
        slip = self._slips.get(identifier)
        return slip if slip is not None and slip.owner == owner.id else None

    def take(self, identifier: str, owner: Caller) -> Slip:
        """Return a slip and forget it; raise :class:`ApiError` 404 if there is none."""
        slip = self.get(identifier, owner)
        if slip is None or slip.back is None:
            raise ApiError(404, "not_found", "this change can no longer be undone")
        return self._slips.pop(identifier)

    def _forget(self) -> None:
        now = self._clock()
        good = [slip for slip in self._slips.values() if slip.ends >= now][-_MOST:]
        while sum(slip.faces for slip in good) > _FACES:
            good.pop(0)
        self._slips = {slip.id: slip for slip in good}


async def rename(
    service: Service, shelf: Shelf, caller: Caller, gallery: str, person: str, new: str
) -> Slip:
    """Give a person another name."""
    await service.write(
        gallery, lambda store: store.rename(person, new), "rename", caller, person=person, into=new
    )
    said = f"“{person}” is now called “{new}”."
    return shelf.put(caller, gallery, said, lambda store: store.rename(new, person))


async def merge(
    service: Service,
    shelf: Shelf,
    caller: Caller,
    gallery: str,
    persons: Iterable[str],
    into: str,
) -> Slip:
    """Make several people one."""
    names = sorted(set(persons))

    def work(store: Gallery) -> Mapping[str, str]:
        before = {face.face_id: name for name in names for face in store.faces(name)}
        store.merge(names, into)
        return before

    before = await service.write(gallery, work, "merge", caller, into=into, count=len(names))
    said = f"{len(names)} people are now one: “{into}”."
    return shelf.put(caller, gallery, said, lambda store: len(assign(store, before)))


async def move(
    service: Service, shelf: Shelf, caller: Caller, gallery: str, faces: Iterable[str], into: str
) -> Slip:
    """Give some faces to another person, who need not exist yet: the split of a person."""
    owners = dict.fromkeys(faces, into)
    before = await service.write(
        gallery,
        lambda store: assign(store, owners),
        "move_faces",
        caller,
        into=into,
        face_ids=sorted(owners),
    )
    if not before:
        raise ApiError(404, "not_found", "there is no such face in the gallery")
    said = f"{counted(len(before), 'face')} moved to “{into}”."
    return shelf.put(caller, gallery, said, lambda store: len(assign(store, before)))


async def delete_person(
    service: Service, shelf: Shelf, caller: Caller, gallery: str, person: str
) -> Slip:
    """Erase a person; the faces stay in this process's memory for the time of the undo."""
    taken = await service.write(
        gallery,
        lambda store: withdraw(store, "person", [person]),
        "delete_person",
        caller,
        person=person,
    )
    said = f"“{person}” with {counted(len(taken), 'face')} deleted."
    return shelf.put(
        caller, gallery, said, lambda store: put_back(store, taken).added, faces=len(taken)
    )


async def delete_faces(
    service: Service, shelf: Shelf, caller: Caller, gallery: str, faces: Iterable[str]
) -> Slip:
    """Erase single faces; they stay in this process's memory for the time of the undo."""
    wanted = sorted(set(faces))
    taken = await service.write(
        gallery,
        lambda store: withdraw(store, "face_id", wanted),
        "delete_face",
        caller,
        face_ids=wanted,
    )
    said = f"{counted(len(taken), 'face')} deleted."
    return shelf.put(
        caller, gallery, said, lambda store: put_back(store, taken).added, faces=len(taken)
    )


async def undo(service: Service, shelf: Shelf, caller: Caller, identifier: str) -> Slip:
    """Take a change back.

    Raises
    ------
    ApiError
        404 if it is too late, or the gallery is gone; 409 if what it needs was changed since.
    """
    slip = shelf.take(identifier, caller)
    assert slip.back is not None
    await service.write(slip.gallery, slip.back, "undo", caller, change=slip.id[:8])
    return slip


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 face``, ``1,200 faces``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
