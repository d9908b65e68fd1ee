"""Presentations to learn liveness from and to measure it on: rendered heads, and photographs.

Real photographs stand on both sides, as they are and shown again on simulated paper and screens,
so that what tells an attack is not that a picture was rendered. Everything goes through a
simulated camera once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from vultus.datasets.records import Dataset, Record
from vultus.detection import Detector, central
from vultus.errors import DatasetError, ImageError
from vultus.geometry import FloatArray, UInt8Array
from vultus.images import open_image
from vultus.liveness.cdcn.presentations import PadCrops, joined
from vultus.liveness.cdcn.simulation import Simulation, reimage, rendered
from vultus.worlds import SPECIES

Photograph = tuple[UInt8Array, FloatArray, int]
Part = Literal["learn", "test"]
Head = Literal["procedural", "ict"]

#: Splits in order; it decides who is in which, and where the draws of photographs begin.
SPLITS = ("train", "development", "test")

#: Attacks and cameras that a network learns from; the test part has all there are. A name that
#: stands twice is drawn twice as often.
SEEN_SPECIES = ("print", "print_cut", "replay", "mask_paper", "mask_rigid")
SEEN_DOMAINS = ("studio", "studio", "phone", "phone", "surveillance")
ALL_DOMAINS = ("studio", "phone", "webcam", "webcam", "surveillance")

#: Bona fide presentations of each rendered person.
BONA_FIDE_TIMES = 3

#: Margin added around a photograph, as a part of its side: sets of tight crops end at the chin.
MARGIN = 0.5

#: Side in pixels to which smaller photographs are enlarged before the search.
SMALL = 192

#: Shares of the people of photographs that are tested on, and that choose.
TEST, DEVELOPMENT = 0.25, 0.2


def presentations(
    part: Part,
    sets: Sequence[Dataset],
    detector: Detector,
    *,
    size: int = 96,
    people: int = 120,
    limit: int = 250,
    seed: int = 0,
    heads: Sequence[Head] = ("procedural", "ict"),
    progress: Callable[[str], None] | None = None,
) -> PadCrops:
    """Draw presentations of rendered heads and of photographs.

    Domains are named ``rendered CAMERA`` and ``photograph CAMERA``.

    Parameters
    ----------
    part
        ``learn``, with the splits train and development, or ``test``, with other people, every
        species and every camera.
    sets
        Photographs of real people, none of their labels. People of ``dev-test`` lists, and a
        quarter of the people of sets without lists, are only in the test part; pictures without
        identity never are.
    detector
        Finds the faces of photographs.
    size
        Side of a test crop.
    people, limit
        Rendered people, and photographs of each set, that are trained on; a quarter as many
        choose, and a quarter are tested on.
    seed
        Of everything that is drawn.
    heads
        Sources of rendered heads, as many people of each.
    progress
        Called with the name of every finished block.

    Raises
    ------
    DatasetError
        If a part of a set has no photograph with a face.
    """

    def render(split: str, head: Head, population: int, who: tuple[int, ...]) -> PadCrops:
        plan = render_plan(split, head, population, SEEN_DOMAINS, ALL_DOMAINS)
        return rendered(plan, split, who, size, seed)

    def show(split: str, number: int, found: Sequence[Photograph]) -> PadCrops:
        return _shown(found, split, size, photograph_seed(seed, split))

    drawing = Drawing(render, show, prepared)
    return draw(part, sets, detector, drawing, people, limit, heads, progress)


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a kind of presentations is drawn.

    Parameters
    ----------
    rendered
        From the split, the source of heads, the seed of their population and the numbers of people.
    shown
        From the split, the place of the set among the sets, and its photographs.
    prepared
        What is done to a photograph, uint8 (H, W, 3), before its face is looked for.
    """

    rendered: Callable[[str, Head, int, tuple[int, ...]], PadCrops]
    shown: Callable[[str, int, Sequence[Photograph]], PadCrops]
    prepared: Callable[[UInt8Array], UInt8Array]


def draw(
    part: Part,
    sets: Sequence[Dataset],
    detector: Detector,
    drawing: Drawing,
    people: int,
    limit: int,
    heads: Sequence[Head],
    progress: Callable[[str], None] | None,
) -> PadCrops:
    """Draw the blocks of a part and join them; arguments and errors as :func:`presentations`."""
    told = progress or (lambda _: None)
    blocks = []
    for split in SPLITS[:2] if part == "learn" else SPLITS[2:]:
        whole = split == "train"
        for population, head in enumerate(heads):
            count = max((people if whole else people // 4) // len(heads), 1)
            # Thousands apart, so that more people of one split never are those of another.
            first = 10_000 * SPLITS.index(split)
            who = tuple(range(first, first + count))
            blocks.append(_named("rendered", drawing.rendered(split, head, population, who)))
            told(f"{split}: {count} rendered people of {head}")
        for number, data in enumerate(sets):
            chosen = records_of(data, split, limit if whole else limit // 4)
            if not chosen:
                continue
            found = photographs(chosen, detector, drawing.prepared)
            blocks.append(_named("photograph", drawing.shown(split, number, found)))
            told(f"{split}: {len(found)} photographs of {data.name}")
    return joined(blocks)


def photograph_seed(seed: int, split: str) -> int:
    """Return the seed of what photographs of a split are shown with; no two splits share it."""
    return seed + 1000 * SPLITS.index(split)


def render_plan(
    split: str, head: Head, population: int, seen: tuple[str, ...], unseen: tuple[str, ...]
) -> Simulation:
    """Return what is drawn of each rendered person of a split.

    Parameters
    ----------
    split, head, population
        Decides the attack species; source of the heads; seed of the people.
    seen, unseen
        Cameras of training and development, and of the test.
    """
    return Simulation(
        train=1,
        development=1,
        species=tuple(SPECIES) if split == "test" else SEEN_SPECIES,
        bona_fide=BONA_FIDE_TIMES,
        seen=seen,
        unseen=unseen,
        population=population,
        head=head,
    )


def _shown(shown: Sequence[Photograph], split: str, size: int, seed: int) -> PadCrops:
    test = split == "test"
    return reimage(
        shown,
        size,
        seed,
        split=split,
        species=("print", "print_bent", "replay") if test else ("print", "replay"),
        domains=ALL_DOMAINS if test else SEEN_DOMAINS,
        bona_fide=2,
    )


def _named(source: str, data: PadCrops) -> PadCrops:
    return replace(data, domains=np.array([f"{source} {d}" for d in data.domains.tolist()]))


def split_of(record: Record) -> str:
    """Return the part of a photograph: train, development or test; by person, for good."""
    if record.split == "dev-test":
        return "test"
    place = _place(record.identity or record.path.name)
    if record.identity is None:
        return "development" if place < DEVELOPMENT else "train"
    if record.split is None and place < TEST:
        return "test"
    return "development" if place < TEST + DEVELOPMENT else "train"


def records_of(data: Dataset, split: str, limit: int | None = None) -> list[Record]:
    """Return at most ``limit`` photographs of a part, one of each person, spread over the set."""
    found: dict[str, Record] = {}
    for record in data:
        if split_of(record) == split:
            found.setdefault(record.identity or str(record.path), record)
    order = sorted(found, key=_place)
    return [found[name] for name in order[:limit]]


def photographs(
    records: Sequence[Record], detector: Detector, prepare: Callable[[UInt8Array], UInt8Array]
) -> list[Photograph]:
    """Return prepared pictures with the box of their central face, those without one left out.

    Parameters
    ----------
    records, detector
        Photographs, and what finds their faces.
    prepare
        Done to each picture, uint8 (H, W, 3), before the search.

    Raises
    ------
    DatasetError
        If no picture has a face.
    """
    shown: list[Photograph] = []
    for number, record in enumerate(records):
        try:
            image = prepare(open_image(record.source()))
        except ImageError:
            continue
        faces = detector.detect(image)
        if faces:
            shown.append((image, central(faces, image.shape).box, number))
    if not shown:
        raise DatasetError(f"no face was found in {len(records)} photographs")
    return shown


def prepared(image: UInt8Array) -> UInt8Array:
    """Return a photograph, uint8 (H, W, 3), with a mirrored margin; enlarged if very small."""
    if (short := min(image.shape[:2])) < SMALL:
        factor = SMALL / short
        image = np.asarray(
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    high, wide = (round(MARGIN * side) for side in image.shape[:2])
    padded: Any = np.pad(image, ((high, high), (wide, wide), (0, 0)), "reflect")
    return np.asarray(padded, np.uint8)


def _place(name: str) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32
