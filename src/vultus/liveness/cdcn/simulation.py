"""Presentations from the simulator: rendered heads, and photographs shown again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.liveness.cdcn.depth import depth_label, mask_label
from vultus.liveness.cdcn.presentations import PadCrops, check_known, cut, from_rows, joined
from vultus.liveness.masks import hull_mask
from vultus.measure.pad import BONA_FIDE
from vultus.settings import settings

if TYPE_CHECKING:
    from vultus.worlds.capture import CameraState
    from vultus.worlds.sheets import Sheet

UInt8 = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SPLITS = ("train", "development", "test")

#: Share of the picture's height that a head or sheet fills, so that crops stay inside.
FILL = (0.5, 0.7)


@settings
class Simulation:
    """A cross-domain experiment: people of one domain to learn from, others of another to test.

    Parameters
    ----------
    train, development, test
        Number of people of each split; nobody is in two.
    species
        Attack species of :data:`vultus.worlds.SPECIES`, one presentation of each per person.
    bona_fide
        Bona fide presentations per person.
    frames
        Frames of each presentation.
    seen, unseen
        Capture domains of training and development, and of test: names of
        :data:`vultus.worlds.DOMAINS`.
    population
        Seed of the people.
    head
        Source of the heads' geometry, see :class:`vultus.worlds.WorldSpec`.
    """

    train: int
    development: int
    test: int = 0
    species: tuple[str, ...] = ("print", "replay")
    bona_fide: int = 2
    frames: int = 1
    seen: tuple[str, ...] = ("phone",)
    unseen: tuple[str, ...] = ("webcam",)
    population: int = 0
    head: Literal["procedural", "ict"] = "procedural"

    def __post_init__(self) -> None:
        if min(self.train, self.development, self.bona_fide, self.frames) < 1 or self.test < 0:
            raise ValueError("train, development, bona_fide and frames must be at least 1")
        if not self.species:
            raise ValueError("species must name an attack")


def simulate(plan: Simulation, size: int, seed: int) -> PadCrops:
    """Draw the presentations of an experiment.

    Parameters
    ----------
    plan
        Who, what, how many.
    size
        Side of a test crop.
    seed
        Of everything but the people's looks.

    Raises
    ------
    ConfigError
        If a species or domain is unknown.
    """
    start, parts = 0, []
    for split, count in zip(SPLITS, (plan.train, plan.development, plan.test), strict=True):
        people = tuple(range(start, start + count))
        start += count
        if people:
            parts.append(rendered(plan, split, people, size, seed))
    return joined(parts)


def rendered(
    plan: Simulation, split: str, people: tuple[int, ...], size: int, seed: int
) -> PadCrops:
    """Draw the presentations of some people of an experiment, numbers of the population.

    Parameters
    ----------
    plan
        What is drawn of each; its numbers of people do not matter.
    split
        ``test`` meets the cameras of ``unseen``, any other split those of ``seen``.
    people, size, seed
        Who; see :func:`simulate`.
    """
    return from_rows(list(_rows(plan, split, people, size, seed)), size, split)


def _rows(
    plan: Simulation, split: str, people: tuple[int, ...], size: int, seed: int
) -> Iterator[dict[str, Any]]:
    from vultus.worlds import DOMAINS, CameraSpec, World, WorldSpec
    from vultus.worlds import clip as draw_clip
    from vultus.worlds.chart import Part

    names = plan.unseen if split == "test" else plan.seen
    check_known(names, DOMAINS, "capture domains")
    number = 0
    for kind, species in enumerate(("bona_fide", *plan.species)):
        # The picture is larger than the crop by what the box lacks of the picture's height.
        spec = WorldSpec(
            size=picture_size(size),
            head=plan.head,
            population=plan.population,
            people=people,
            species=(species,),
            camera=CameraSpec(fill=FILL),
            domains=tuple(DOMAINS[name] for name in names),
        )
        world = World(spec)
        # Nobody meets the backgrounds and lights of another split.
        draw = 1000 * seed + 100 * SPLITS.index(split) + kind
        times = plan.bona_fide if kind == 0 else 1
        for index in range(times * len(people)):
            for frame in draw_clip(world, draw, index, plan.frames).frames:
                face = hull_mask(frame.landmarks, (spec.size, spec.size))
                skin = (frame.parts != Part.BACKGROUND) & (frame.parts != Part.HAIR)
                label = np.zeros(frame.depth.shape, np.float32)
                if frame.live:
                    # Within the hull hair and glasses have a depth as well.
                    label = depth_label(frame.depth, (skin | face) & ~frame.occluded)
                image, depth, mask = cut(frame.colour, label, face, frame.box, size)
                yield {
                    "images": image,
                    "depth": depth,
                    "masks": mask,
                    "species": BONA_FIDE if frame.live else species,
                    "domains": frame.domain,
                    "people": frame.identity - people[0],
                    "clips": number,
                }
            number += 1


def picture_size(size: int) -> int:
    """Return the side of a drawn picture whose face, enlarged by 1.3, is about ``size`` wide."""
    return round(1.75 * size)


def reimage(
    photographs: Iterable[tuple[UInt8, FloatArray, int]],
    size: int,
    seed: int,
    *,
    split: str,
    species: tuple[str, ...] = ("print", "replay"),
    domains: tuple[str, ...] = ("phone",),
    bona_fide: int = 1,
) -> PadCrops:
    """Make presentations from photographs of real people.

    The photograph itself, taken again by the domain's camera, stands for the living face, with its
    mask as depth label; on a sheet it is the attack. Both go through the same camera once.

    Parameters
    ----------
    photographs
        uint8 (H, W, 3) RGB, xyxy box of the face, number of the person.
    size, seed, split
        See :class:`~vultus.liveness.cdcn.presentations.PadCrops`.
    species
        ``print``, ``print_bent`` and ``replay``, one presentation of each per photograph.
    domains
        Names of :data:`vultus.worlds.DOMAINS`, drawn evenly.
    bona_fide
        Bona fide presentations per photograph.

    Raises
    ------
    ConfigError
        If a species needs more than a photograph, or there is no photograph.
    """
    unknown = sorted(set(species) - {"print", "print_bent", "replay"})
    if unknown:
        raise ConfigError(f"photographs cannot be shown as {unknown}")
    rows: list[dict[str, Any]] = []
    for index, (photo, box, who) in enumerate(photographs):
        for kind, name in enumerate((*(BONA_FIDE,) * bona_fide, *species)):
            rng = np.random.default_rng((seed, index, kind))
            domain = domains[int(rng.integers(len(domains)))]
            picture, place = _presented(photo, box, name, domain, picture_size(size), rng)
            face = _ellipse(place, len(picture))
            label = mask_label(face) if name == BONA_FIDE else np.zeros(face.shape, np.float32)
            image, depth, mask = cut(picture, label, face, place, size)
            rows.append(
                {
                    "images": image,
                    "depth": depth,
                    "masks": mask,
                    "species": name,
                    "domains": domain,
                    "people": who,
                    "clips": len(rows),
                }
            )
    if not rows:
        raise ConfigError("there is no photograph to show")
    return from_rows(rows, size, split)


def _presented(
    photo: UInt8, box: FloatArray, name: str, domain: str, side: int, rng: np.random.Generator
) -> tuple[UInt8, FloatArray]:
    """Return a picture (side, side, 3) of the photograph's face, and its box there."""
    from vultus.geometry import crop_boxes
    from vultus.worlds import DOMAINS, recapture, sample_sheet

    check_known([domain], DOMAINS, "capture domains")
    around = float(rng.uniform(1.7, 2.3))
    span = (box[2:] - box[:2]) / (box[2:] - box[:2]).max()
    state = DOMAINS[domain].sample(rng)
    shown_side = side if name == BONA_FIDE else round(1.5 * side)
    source = crop_boxes(photo, box[None], around, shown_side)[0]
    half = span * shown_side / around / 2
    middle = np.full(2, (shown_side - 1) / 2)
    place = np.concatenate([middle - half, middle + half]).astype(np.float32)
    if name == BONA_FIDE:
        return recapture(source, state, rng), place
    sheet = sample_sheet(name, rng)
    fill = float(rng.uniform(0.85, 1.1))
    return on_sheet(source, place, sheet, state, rng, fill=fill, side=side)


def on_sheet(
    source: UInt8,
    box: FloatArray,
    sheet: Sheet,
    state: CameraState,
    rng: np.random.Generator,
    *,
    fill: float,
    side: int,
    mosaic: bool = False,
) -> tuple[UInt8, FloatArray]:
    """Return what a camera takes of a photograph on a sheet, uint8 (side, side, 3), and the box.

    Parameters
    ----------
    source, box
        Photograph, uint8 (S, S, 3), and xyxy pixels of the face in it.
    sheet, state
        What it is shown on, and the camera.
    rng
        Of lighting, background and noise.
    fill
        Height of the shown photograph over that of the picture.
    side
        Of the picture in pixels.
    mosaic
        Whether the camera sees one colour per pixel.
    """
    from vultus.worlds import LightSpec, capture, show
    from vultus.worlds.backgrounds import procedural_background
    from vultus.worlds.reimage import box_corners, on_picture
    from vultus.worlds.scene import sample_lighting

    lighting = sample_lighting(LightSpec(), rng)
    shown = show(source, sheet, fill=fill, size=side, lighting=lighting, rng=rng)
    back = procedural_background(rng, side)
    light = shown.radiance[..., :3] + (1 - shown.radiance[..., 3:]) * back
    corners = on_picture(box_corners(box), shown)
    there = np.concatenate([corners.min(0), corners.max(0)]).astype(np.float32)
    return capture(np.asarray(light, np.float32), state, rng, mosaic=mosaic), there


def _ellipse(box: FloatArray, side: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side]
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1)
    return np.asarray(
        ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1, np.bool_
    )
