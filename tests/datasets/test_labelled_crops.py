"""Files of labelled crops: what is written is read, parts do not move, damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.crops import LabelledCrops, load_labelled, save_labelled
from vultus.errors import DatasetError


def crops(count: int = 6, side: int = 8) -> LabelledCrops:
    rng = np.random.default_rng(count)
    return LabelledCrops(
        rng.integers(0, 256, (count, side, side, 3), np.uint8),
        rng.random((count, 5, 2), np.float32),
        {"age": np.arange(count, dtype=np.float32), "sex": np.arange(count) % 2},
        {"sex": ("female", "male")},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = crops()
    save_labelled(tmp_path / "deep" / "crops.safetensors", given)
    found = load_labelled(tmp_path / "deep" / "crops.safetensors")
    np.testing.assert_array_equal(found.images, given.images)
    np.testing.assert_array_equal(found.points, given.points)
    np.testing.assert_array_equal(found.label("age"), given.label("age"))
    assert found.names == {"sex": ("female", "male")}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["crops.safetensors"]


def test_a_picture_stays_in_its_part_whatever_stands_beside_it() -> None:
    given = crops(40)
    places = given.places()
    assert ((places >= 0) & (places < 1)).all()
    assert len(np.unique(places)) == 40
    order = np.random.default_rng(0).permutation(40)[:20]
    np.testing.assert_array_equal(given.take(order).places(), places[order])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"points": np.zeros((5, 5, 2), np.float32)}, "points"),
        ({"images": np.zeros((6, 8, 9, 3), np.uint8)}, "crops must be"),
        ({"labels": {"age": np.zeros(5)}}, "lengths"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], says: str) -> None:
    given = crops()
    fields = {"images": given.images, "points": given.points, "labels": given.labels} | change
    with pytest.raises(DatasetError, match=says):
        LabelledCrops(**fields)  # type: ignore[arg-type]


def test_a_label_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    given = crops()
    named = LabelledCrops(given.images, given.points, {"who": np.array(list("abcdef"))})
    with pytest.raises(DatasetError, match="'who'"):
        save_labelled(tmp_path / "crops.safetensors", named)


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "crops.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(DatasetError, match=r"crops\.safetensors"):
        load_labelled(path)
    with pytest.raises(DatasetError, match="no label 'race'"):
        crops().label("race")
