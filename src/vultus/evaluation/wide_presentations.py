"""Presentations in windows of 2.7 times the box, to learn liveness from and to measure it on.

Beside sheets with their edges in view there are screens and prints that fill the picture; beside
cameras of passers-by those that look at their owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from vultus.datasets.records import Dataset, Record
from vultus.detection import Detector, central
from vultus.errors import DatasetError, ImageError
from vultus.evaluation.presentations import SEEN_SPECIES, Part, Photograph, records_of
from vultus.images import open_image
from vultus.liveness.cdcn.presentations import PadCrops, joined
from vultus.liveness.cdcn.simulation import Simulation
from vultus.liveness.cdcn.wide import SHOWN, wide_photographs, wide_rendered
from vultus.worlds import SPECIES

#: Attacks on photographs and cameras that a network learns from; the test part has all there are.
#: What stands twice is drawn twice as often.
SEEN_SHOWN = ("print", "print_full", "replay", "replay_full", "replay_full")
SEEN_CAMERAS = ("studio", "phone", "selfie", "selfie", "laptop", "laptop", "surveillance")
ALL_CAMERAS = ("studio", "phone", "selfie", "laptop", "webcam", "webcam", "surveillance")

#: Bona fide presentations of each person, rendered and photographed; windows of each presentation.
RENDERED_TIMES, PHOTOGRAPH_TIMES, FRAMES = 3, 4, 3


def wide_presentations(
    part: Part,
    sets: Sequence[Dataset],
    detector: Detector,
    *,
    size: int = 80,
    people: int = 60,
    limit: int = 250,
    seed: int = 0,
    heads: Sequence[Literal["procedural", "ict"]] = ("procedural", "ict"),
    progress: Callable[[str], None] | None = None,
) -> PadCrops:
    """Draw presentations in windows; arguments and errors as in
    :func:`~vultus.evaluation.presentations.presentations`, and its parts have the same people.

    Training presentations have :data:`FRAMES` windows each, others one, the detector's.
    """
    splits = ("train", "development") if part == "learn" else ("test",)
    told = progress or (lambda _: None)
    blocks = []
    for split in splits:
        frames = FRAMES if split == "train" else 1
        for place, head in enumerate(heads):
            count = max((people if split == "train" else people // 4) // len(heads), 1)
            first = 10_000 * ("train", "development", "test").index(split)
            who = tuple(range(first, first + count))
            drawn = wide_rendered(_plan(split, head, place), split, who, size, seed, frames)
            blocks.append(_named("rendered", drawn))
            told(f"{split}: {count} rendered people of {head}")
        for number, data in enumerate(sets):
            chosen = records_of(data, split, limit if split == "train" else limit // 4)
            if not chosen:
                continue
            shown = plain_photographs(chosen, detector)
            blocks.append(
                _named("photograph", _shown(shown, split, size, seed + 100 * number, frames))
            )
            told(f"{split}: {len(shown)} photographs of {data.name}")
    return joined(blocks)


def _plan(split: str, head: Literal["procedural", "ict"], population: int) -> Simulation:
    species = tuple(SPECIES) if split == "test" else SEEN_SPECIES
    return Simulation(
        train=1,
        development=1,
        species=species,
        bona_fide=RENDERED_TIMES,
        seen=SEEN_CAMERAS,
        unseen=ALL_CAMERAS,
        population=population,
        head=head,
    )


def _shown(
    photographs: Sequence[Photograph], split: str, size: int, seed: int, frames: int
) -> PadCrops:
    test = split == "test"
    return wide_photographs(
        photographs,
        size,
        seed + {"train": 0, "development": 1000, "test": 2000}[split],
        split=split,
        species=SHOWN if test else SEEN_SHOWN,
        domains=ALL_CAMERAS if test else SEEN_CAMERAS,
        bona_fide=PHOTOGRAPH_TIMES,
        frames=frames,
    )


def plain_photographs(records: Sequence[Record], detector: Detector) -> list[Photograph]:
    """Return pictures as they are with the box of their central face, if there is one.

    Raises
    ------
    DatasetError
        If no picture has a face.
    """
    shown: list[Photograph] = []
    for number, record in enumerate(records):
        try:
            image = open_image(record.source())
        except ImageError:
            continue
        faces = detector.detect(image)
        if faces:
            shown.append((image, central(faces, image.shape).box, number))
    if not shown:
        raise DatasetError(f"no face was found in {len(records)} photographs")
    return shown


def _named(source: str, data: PadCrops) -> PadCrops:
    return replace(data, domains=np.array([f"{source} {d}" for d in data.domains.tolist()]))
