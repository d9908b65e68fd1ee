"""Presentations in windows of 2.7 times the box, to learn liveness from and to measure it on.

Beside sheets with their edges in view there are screens and prints that fill the picture; beside
cameras of passers-by those that look at their owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vultus.datasets.records import Dataset
from vultus.detection import Detector
from vultus.evaluation.presentations import (
    Drawing,
    Head,
    Part,
    Photograph,
    draw,
    photograph_seed,
    render_plan,
)
from vultus.liveness.cdcn.presentations import PadCrops
from vultus.liveness.cdcn.wide import SHOWN, wide_photographs, wide_rendered

#: Attacks on photographs and cameras that a network learns from; the test part has all there are.
#: What stands twice is drawn twice as often.
SEEN_SHOWN = ("print", "print_full", "replay", "replay_full", "replay_full")
SEEN_CAMERAS = ("studio", "phone", "selfie", "selfie", "laptop", "laptop", "surveillance")
ALL_CAMERAS = ("studio", "phone", "selfie", "laptop", "webcam", "webcam", "surveillance")

#: Bona fide presentations of each photographed person; windows of each presentation.
PHOTOGRAPH_TIMES, FRAMES = 4, 3


def wide_presentations(
    part: Part,
    sets: Sequence[Dataset],
    detector: Detector,
    *,
    size: int = 80,
    people: int = 60,
    limit: int = 250,
    seed: int = 0,
    heads: Sequence[Head] = ("procedural", "ict"),
    progress: Callable[[str], None] | None = None,
) -> PadCrops:
    """Draw presentations in windows; arguments and errors as in
    :func:`~vultus.evaluation.presentations.presentations`, and its parts have the same people.

    Training presentations have :data:`FRAMES` windows each, others one, the detector's.
    """

    def frames(split: str) -> int:
        return FRAMES if split == "train" else 1

    def render(split: str, head: Head, population: int, who: tuple[int, ...]) -> PadCrops:
        plan = render_plan(split, head, population, SEEN_CAMERAS, ALL_CAMERAS)
        return wide_rendered(plan, split, who, size, seed, frames(split))

    def show(split: str, number: int, found: Sequence[Photograph]) -> PadCrops:
        own = photograph_seed(seed + 100 * number, split)
        return _shown(found, split, size, own, frames(split))

    # Windows need no mirrored margin: they stop where the picture does.
    drawing = Drawing(render, show, prepared=lambda image: image)
    return draw(part, sets, detector, drawing, people, limit, heads, progress)


def _shown(
    photographs: Sequence[Photograph], split: str, size: int, seed: int, frames: int
) -> PadCrops:
    test = split == "test"
    return wide_photographs(
        photographs,
        size,
        seed,
        split=split,
        species=SHOWN if test else SEEN_SHOWN,
        domains=ALL_CAMERAS if test else SEEN_CAMERAS,
        bona_fide=PHOTOGRAPH_TIMES,
        frames=frames,
    )
