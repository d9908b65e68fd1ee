"""Reading dlib landmark predictors."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import dlib_files as df
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import WeightsError
from vultus.runtime.dlib_shape import (
    ShapePredictor,
    convert_shape_predictor,
    load_shape_predictor,
    read_shape_predictor,
)


def make(points: int = 3, cascades: int = 2, trees: int = 4, pixels: int = 6) -> ShapePredictor:
    rng = np.random.default_rng(7)
    splits = 3

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(0, 1, shape).astype(np.float32)

    return ShapePredictor(
        initial_shape=floats(points, 2),
        splits=rng.integers(0, pixels, (cascades, trees, splits, 2)).astype(np.uint16),
        thresholds=floats(cascades, trees, splits) * 100,
        leaves=floats(cascades, trees, splits + 1, points, 2),
        anchors=rng.integers(0, points, (cascades, pixels)).astype(np.uint16),
        offsets=floats(cascades, pixels, 2),
    )


def encode(p: ShapePredictor) -> bytes:
    return df.shape_predictor(
        p.initial_shape, p.splits, p.thresholds, p.leaves, p.anchors, p.offsets
    )


def assert_equal(a: ShapePredictor, b: ShapePredictor) -> None:
    for field in fields(ShapePredictor):
        one, other = getattr(a, field.name), getattr(b, field.name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_arrays_come_back() -> None:
    assert_equal(read_shape_predictor(encode(make())), make())


def test_arrays_come_back_through_npz(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(convert_shape_predictor(encode(make())))
    assert_equal(load_shape_predictor(path), make())


def test_npz_with_objects_is_refused(tmp_path: Path) -> None:
    arrays = {f.name: np.array([object()]) for f in fields(ShapePredictor)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (tmp_path / "p.npz").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match=r"p\.npz"):
        load_shape_predictor(tmp_path / "p.npz")


def test_missing_and_damaged_npz_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.npz"):
        load_shape_predictor(tmp_path / "absent.npz")
    (tmp_path / "p.npz").write_bytes(make().to_npz()[:200])
    with pytest.raises(WeightsError, match=r"p\.npz"):
        load_shape_predictor(tmp_path / "p.npz")


DATA = encode(make())


def test_every_truncation_is_refused() -> None:
    for length in range(len(DATA)):
        with pytest.raises(WeightsError):
            read_shape_predictor(DATA[:length])


def test_left_over_values_are_refused() -> None:
    with pytest.raises(WeightsError, match="left over"):
        read_shape_predictor(DATA + df.integer(1))


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_damaged_bytes_never_escape_as_other_errors(position: int, value: int) -> None:
    damaged = DATA[:position] + bytes([value]) + DATA[position + 1 :]
    try:
        predictor = read_shape_predictor(damaged)
    except WeightsError:
        return
    pixels, points = predictor.offsets.shape[1], len(predictor.initial_shape)
    assert predictor.splits.max() < pixels
    assert predictor.anchors.max() < points
    assert np.isfinite(predictor.leaves).all()


def test_pixel_index_out_of_range_is_refused() -> None:
    p = make()
    p.splits[0, 0, 0, 0] = p.anchors.shape[1]
    with pytest.raises(WeightsError, match="pixel index"):
        read_shape_predictor(encode(p))
