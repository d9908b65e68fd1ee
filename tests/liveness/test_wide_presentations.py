"""Presentations in windows: who is shown how, where the face lies, and that draws repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("numba")

from vultus.datasets.records import Dataset, Record
from vultus.errors import ConfigError, DatasetError
from vultus.evaluation.presentations import SEEN_SPECIES
from vultus.evaluation.wide_presentations import FRAMES, wide_presentations
from vultus.faces import Face
from vultus.images import save_image
from vultus.liveness.cdcn.presentations import load_presentations, save_presentations
from vultus.liveness.cdcn.simulation import Simulation
from vultus.liveness.cdcn.wide import (
    SHOWN,
    ellipse_in,
    framed,
    presented,
    wide_photographs,
    wide_rendered,
    window_rows,
)
from vultus.liveness.windows import cut_window, window_of
from vultus.measure.pad import BONA_FIDE
from vultus.worlds import DOMAINS, SPECIES

#: The face of the picture of the astronaut.
BOX = np.array([165, 60, 285, 215], np.float32)


def shown(astronaut: np.ndarray, **changes: object) -> object:
    return wide_photographs(
        [(astronaut, BOX, 3)], 80, 5, split="train", **changes  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_photograph_stands_on_both_sides(astronaut: np.ndarray) -> None:
    data = wide_photographs(
        [(astronaut, BOX, 3)], 80, 5, split="train", domains=("phone", "laptop"), frames=2
    )
    assert data.species[::2].tolist() == [BONA_FIDE] * 2 + list(SHOWN)
    assert data.clips.tolist() == [i for i in range(2 + len(SHOWN)) for _ in range(2)]
    assert set(data.people.tolist()) == {3}
    assert set(data.domains.tolist()) <= {"phone", "laptop"}
    assert data.crops()[0].shape == (len(data), 80, 80, 3)
    assert (data.masks.max((1, 2)) == 255).all(), "attacks have masks too"
    assert (data.depth[~data.live] == 0).all()
    np.testing.assert_array_equal(data.depth[data.live], data.masks[data.live])


def test_equal_seeds_draw_equal_windows(astronaut: np.ndarray) -> None:
    first, second, other = (
        wide_photographs([(astronaut, BOX, 0)], 80, seed, split="train", frames=2)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert (first.images != other.images).any()


def test_the_first_window_is_the_detectors(astronaut: np.ndarray) -> None:
    rows = window_rows(astronaut, BOX, 80, 3, np.random.default_rng(0))
    expected = cut_window(astronaut, window_of(BOX, astronaut.shape), 80)
    np.testing.assert_array_equal(rows[0]["images"][4:-4, 4:-4], expected)
    assert any((row["images"] != rows[0]["images"]).any() for row in rows[1:])


def test_the_face_is_where_the_box_is() -> None:
    window = np.array([100, 100, 300, 300], np.float32)
    mask = ellipse_in(np.array([150, 140, 210, 240], np.float32), window, 80)
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max() + 1) == pytest.approx((20, 44), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((16, 56), abs=1)
    outside = ellipse_in(np.array([0, 0, 20, 20], np.float32), window, 80)
    assert outside.sum() == 1, "a mask is never empty"


@pytest.mark.parametrize("name", [BONA_FIDE, *SHOWN])
def test_faces_are_found_again_where_they_are_said_to_be(astronaut: np.ndarray, name: str) -> None:
    """The pixels in the box of what is shown look like those of the photograph."""
    import cv2

    def face(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        x1, y1, x2, y2 = np.round(box).astype(int)
        part = picture[max(y1, 0) : y2, max(x1, 0) : x2]
        grey = cv2.resize(part, (24, 24), interpolation=cv2.INTER_AREA).mean(2)
        return np.asarray((grey - grey.mean()) / grey.std())

    alike = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        source, box = framed(astronaut, BOX, 240, rng)
        picture, there = presented(source, box, name, DOMAINS["studio"].sample(rng), rng)
        assert picture.shape == (240, 240, 3)
        if there.min() < 0 or there.max() > 240:
            continue
        alike.append(float((face(picture, there) * face(source, box)).mean()))
    assert len(alike) > 1
    assert np.median(alike) > 0.75


def test_rendered_people_meet_every_camera() -> None:
    plan = Simulation(
        train=1, development=1, species=("print", "replay"), bona_fide=2, seen=("laptop",),
        unseen=("webcam",),
    )  # fmt: skip
    seen = wide_rendered(plan, "train", (4, 5), 80, 1, frames=2)
    assert seen.species.tolist() == [BONA_FIDE] * 8 + ["print"] * 4 + ["replay"] * 4
    assert set(seen.domains.tolist()) == {"laptop"}
    assert set(seen.people.tolist()) == {0, 1}
    assert set(wide_rendered(plan, "test", (4,), 80, 1).domains.tolist()) == {"webcam"}


@pytest.mark.parametrize("changes", [{"species": ("mask_rigid",)}, {"domains": ("telescope",)}])
def test_what_nobody_knows_is_refused(astronaut: np.ndarray, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        shown(astronaut, **changes)
    with pytest.raises(ConfigError, match="no photograph"):
        wide_photographs([], 80, 0, split="train")


class Finder:
    """Finds the astronaut, and nobody in a black picture."""

    def detect(self, image: np.ndarray) -> list[Face]:
        points = np.array([[200, 120], [250, 120], [225, 150], [205, 180], [245, 180]], np.float32)
        return [Face(BOX, 0.9, points)] if image.any() else []


def people(folder: Path, picture: np.ndarray, count: int) -> Dataset:
    records = []
    for number in range(count):
        path = folder / f"{number:03}.png"
        save_image(path, picture)
        records.append(Record(path=path, identity=f"person {number}", split=None, labels={}))
    return Dataset("people", folder, tuple(records))


def test_the_parts_have_other_people_other_attacks_and_other_cameras(
    astronaut: np.ndarray, tmp_path: Path
) -> None:
    from collections import Counter

    data = people(tmp_path, astronaut, 30)
    drawn = wide_presentations("learn", [data], Finder(), people=1, limit=2, heads=("procedural",))  # type: ignore[arg-type]
    train, development = drawn.split("train"), drawn.split("development")
    assert set(Counter(train.clips.tolist()).values()) == {FRAMES}
    assert set(Counter(development.clips.tolist()).values()) == {1}
    assert not {d for d in drawn.domains.tolist() if "webcam" in d}
    attacks = {"print", "print_full", "replay", "replay_full"}
    assert set(drawn.species.tolist()) == {BONA_FIDE, *SEEN_SPECIES, *attacks}
    file = tmp_path / "windows.safetensors"
    save_presentations(file, drawn)
    np.testing.assert_array_equal(load_presentations(file).images, drawn.images)
    test = wide_presentations("test", [data], Finder(), people=1, limit=4, heads=("procedural",))  # type: ignore[arg-type]
    assert set(SPECIES) | {"print_full", "replay_full"} <= set(test.species.tolist())
    assert {d for d in test.domains.tolist() if "webcam" in d}


def test_photographs_without_a_face_make_no_part(tmp_path: Path) -> None:
    data = people(tmp_path, np.zeros((32, 32, 3), np.uint8), 12)
    with pytest.raises(DatasetError, match="no face"):
        wide_presentations("test", [data], Finder(), people=4, limit=4, heads=("procedural",))  # type: ignore[arg-type]
