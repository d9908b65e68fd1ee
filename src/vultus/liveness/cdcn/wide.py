"""Presentations in windows of 2.7 times the box, edges of sheets in view or far outside of it.

Each presentation is a clip of several windows of one picture, from tight to wide, since cameras
differ in how much they see around a face. Bona fide pictures come as they are, or through a
simulated camera; every attack shows a picture that is also there as bona fide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.liveness.cdcn.presentations import PadCrops, check_known, from_rows, loose_side
from vultus.liveness.cdcn.simulation import Simulation, on_sheet
from vultus.liveness.windows import SCALE, cut_window, window_of
from vultus.measure.pad import BONA_FIDE
from vultus.worlds.capture import (
    DOMAINS,
    CameraState,
    CaptureDomain,
    compressed,
    recapture,
)
from vultus.worlds.displays import FRONT_DOMAINS, replay_full, sample_display

UInt8 = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

#: Cameras by name: those of the worlds, and those that look at their owner.
CAMERAS: Mapping[str, CaptureDomain] = {**DOMAINS, **FRONT_DOMAINS}

#: Attacks that a photograph can be shown as. ``full`` means that no edge is in view.
SHOWN = ("print", "print_bent", "print_full", "replay", "replay_full")

#: Height of the shown picture over that of the camera's picture, by where its edges are.
IN_VIEW, OUT_OF_VIEW = (0.45, 0.95), (1.12, 1.5)

#: Share of bona fide photographs that stay as they are but for size and compression.
AS_TAKEN = 0.4

#: Side of the pictures that cameras take.
PICTURE = 240


def window_rows(
    picture: UInt8, box: FloatArray, size: int, frames: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return windows of a picture with the face's mask, as rows of :class:`PadCrops`.

    The first is what a detector's box would give; the others have a moved box and less or more
    around it.

    Parameters
    ----------
    picture
        uint8 (H, W, 3).
    box
        xyxy pixels of the face.
    size
        Side of the windows; rows hold them with a rim that repeats their border.
    frames
        How many.
    rng
        Of all but the first.
    """
    rim = (loose_side(size) - size) // 2
    rows = []
    for frame in range(frames):
        at, scale = box, SCALE
        if frame:
            span = np.tile(box[2:] - box[:2], 2)
            at = (box + rng.normal(0, 0.04, 4) * span).astype(np.float32)
            scale = float(rng.uniform(1.15, 3.0))
        window = window_of(at, picture.shape, scale)
        face = ellipse_in(box, window, size)
        image: Any = np.pad(
            cut_window(picture, window, size), ((rim, rim), (rim, rim), (0, 0)), "edge"
        )
        mask: Any = np.pad(face.astype(np.uint8) * 255, rim, "edge")
        rows.append({"images": image, "masks": mask})
    return rows


def ellipse_in(box: FloatArray, window: FloatArray, size: int) -> NDArray[np.bool_]:
    """Return the ellipse of a box within a window, bool (size, size); at least one pixel."""
    scale = size / (np.tile(window[2:] - window[:2], 2))
    x1, y1, x2, y2 = (box - np.tile(window[:2], 2)) * scale - 0.5
    y, x = np.mgrid[:size, :size]
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    half = np.maximum(np.array([x2 - x1, y2 - y1]) / 2, 1)
    inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1
    row, column = np.clip(np.round(middle[::-1]), 0, size - 1).astype(int)
    inside[row, column] = True
    return np.asarray(inside, np.bool_)


def wide_photographs(
    photographs: Iterable[tuple[UInt8, FloatArray, int]],
    size: int,
    seed: int,
    *,
    split: str,
    species: tuple[str, ...] = SHOWN,
    domains: tuple[str, ...] = ("phone",),
    bona_fide: int = 2,
    frames: int = 1,
) -> PadCrops:
    """Make presentations from photographs of real people.

    Parameters
    ----------
    photographs
        uint8 (H, W, 3) RGB, xyxy box of the face, number of the person.
    size, seed, split
        See :class:`~vultus.liveness.cdcn.presentations.PadCrops`.
    species
        Of :data:`SHOWN`; one presentation of each per photograph for every time it is named.
    domains
        Names of :data:`CAMERAS`, drawn evenly.
    bona_fide
        Bona fide presentations per photograph.
    frames
        Windows of each presentation.

    Raises
    ------
    ConfigError
        If a species or camera is unknown, or there is no photograph.
    """
    check_known(species, SHOWN, "attack species")
    check_known(domains, CAMERAS, "cameras")
    rows: list[dict[str, Any]] = []
    clip = 0
    for index, (photo, box, who) in enumerate(photographs):
        for kind, name in enumerate((*(BONA_FIDE,) * bona_fide, *species)):
            rng = np.random.default_rng((seed, index, kind))
            domain = domains[int(rng.integers(len(domains)))]
            source, there = framed(photo, box, PICTURE, rng)
            state = CAMERAS[domain].sample(rng)
            picture, place = presented(source, there, name, state, rng)
            for row in window_rows(picture, place, size, frames, rng):
                row.update(species=name, domains=domain, people=who, clips=clip)
                rows.append(row)
            clip += 1
    if not rows:
        raise ConfigError("there is no photograph to show")
    return from_rows(rows, size, split)


def wide_rendered(
    plan: Simulation, split: str, people: tuple[int, ...], size: int, seed: int, frames: int = 1
) -> PadCrops:
    """Draw presentations of rendered people, numbers of the plan's population.

    Parameters
    ----------
    plan
        What is drawn of each, see :class:`~vultus.liveness.cdcn.simulation.Simulation`; its numbers
        of people and frames do not matter.
    split
        ``test`` meets the cameras of ``unseen``, any other split those of ``seen``.
    people, size, seed
        Who; side of the windows; of everything but the people's looks.
    frames
        Windows of each presentation.
    """
    names = plan.unseen if split == "test" else plan.seen
    check_known(names, CAMERAS, "cameras")
    rows = list(_rendered_rows(plan, names, people, size, seed, frames))
    return from_rows(rows, size, split)


def _rendered_rows(
    plan: Simulation,
    names: tuple[str, ...],
    people: tuple[int, ...],
    size: int,
    seed: int,
    frames: int,
) -> Iterator[dict[str, Any]]:
    from vultus.worlds import CameraSpec, World, WorldSpec

    clip = 0
    for kind, species in enumerate(("bona_fide", *plan.species)):
        spec = WorldSpec(
            size=PICTURE * 3 // 4,
            head=plan.head,
            population=plan.population,
            people=people,
            species=(species,),
            camera=CameraSpec(fill=(0.35, 0.8)),
            domains=tuple(CAMERAS[name] for name in names),
        )
        world = World(spec)
        for index in range((plan.bona_fide if kind == 0 else 1) * len(people)):
            sample = world.sample(1000 * seed + kind, index)
            rng = np.random.default_rng((seed, kind, index))
            for row in window_rows(sample.colour, sample.box, size, frames, rng):
                yield {
                    **row,
                    "species": BONA_FIDE if sample.live else species,
                    "domains": sample.domain,
                    "people": sample.identity - people[0],
                    "clips": clip,
                }
            clip += 1


def framed(
    photo: UInt8, box: FloatArray, side: int, rng: np.random.Generator
) -> tuple[UInt8, FloatArray]:
    """Return a random square of a photograph around a face, (side, side, 3), and the box in it."""
    high, wide = photo.shape[:2]
    longest = float((box[2:] - box[:2]).max())
    span = min(longest * float(rng.uniform(1.25, 3.2)), high - 1, wide - 1)
    middle = (box[:2] + box[2:]) / 2 + rng.uniform(-0.1, 0.1, 2) * longest
    corner = np.clip(middle - span / 2, 0, np.array([wide, high]) - 1 - span)
    window = np.concatenate([corner, corner + span])
    x1, y1, x2, y2 = (int(v) for v in window)
    part = photo[y1 : y2 + 1, x1 : x2 + 1]
    way = cv2.INTER_AREA if len(part) > side else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(part, (side, side), interpolation=way), np.uint8)
    place = (box - np.array([x1, y1, x1, y1])) * side / len(part)
    return picture, np.asarray(place, np.float32)


def presented(
    source: UInt8, box: FloatArray, name: str, state: CameraState, rng: np.random.Generator
) -> tuple[UInt8, FloatArray]:
    """Return the picture that a camera takes of a presentation of a photograph, and the box there.

    Parameters
    ----------
    source
        uint8 (S, S, 3), square.
    box
        xyxy pixels of its face.
    name
        ``bona-fide`` or one of :data:`SHOWN`.
    state
        The camera.
    rng
        Of everything else.
    """
    if name == BONA_FIDE:
        if rng.random() < AS_TAKEN:
            return _as_taken(source, rng), box
        return recapture(source, state, rng, mosaic=True), box
    if name == "replay_full":
        shown = replace(sample_display(rng), fill=_filling(box, len(source), rng))
        picture, matrix = replay_full(source, shown, state, PICTURE, rng)
        return picture, _moved(box, matrix)
    return _taken_of_sheet(source, box, name, state, rng)


def _filling(box: FloatArray, side: int, rng: np.random.Generator) -> float:
    """Draw how far a picture without visible edges is enlarged: not so far that the face leaves."""
    low, high = OUT_OF_VIEW
    room = 1.1 * side / float((box[2:] - box[:2]).max())
    return float(rng.uniform(low, min(max(room, low), high)))


def _as_taken(source: UInt8, rng: np.random.Generator) -> UInt8:
    side = len(source)
    small = int(side * rng.uniform(0.45, 1))
    reduced = cv2.resize(source, (small, small), interpolation=cv2.INTER_AREA)
    light = np.float32(rng.uniform(0.9, 1.25)) * reduced.astype(np.float32)
    picture = np.clip(np.round(light), 0, 255).astype(np.uint8)
    picture = compressed(picture, int(rng.integers(45, 99)))
    back = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back, np.uint8)


def _taken_of_sheet(
    source: UInt8, box: FloatArray, name: str, state: CameraState, rng: np.random.Generator
) -> tuple[UInt8, FloatArray]:
    from vultus.worlds import sample_sheet

    full = name.endswith("_full")
    sheet = sample_sheet(name.removesuffix("_full"), rng)
    fill = _filling(box, len(source), rng) if full else float(rng.uniform(*IN_VIEW))
    return on_sheet(source, box, sheet, state, rng, fill=fill, side=PICTURE, mosaic=True)


def _moved(box: FloatArray, matrix: NDArray[np.float64]) -> FloatArray:
    x1, y1, x2, y2 = (float(v) for v in box)
    corners = np.array([[(x1, y1), (x2, y1), (x2, y2), (x1, y2)]], np.float64)
    there = cv2.perspectiveTransform(corners, matrix)[0]
    return np.concatenate([there.min(0), there.max(0)]).astype(np.float32)
