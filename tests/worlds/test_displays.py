"""Screens that fill the view of a second camera."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vultus.errors import ConfigError
from vultus.worlds import DOMAINS, capture, recapture
from vultus.worlds.capture import CameraState
from vultus.worlds.displays import FRONT_DOMAINS, Display, replay_full, sample_display

SIZE = 96

#: Nothing but the picture: no tilt, no loss, no shade, and a grid too fine to be seen.
PLAIN = Display(
    detail=4096, quality=0, gamma=2.2, crosstalk=0, black=0, veil=0, falloff=0, fill=1.2, blur=0.3,
    aperture=0.3, pitch=8.0,
)  # fmt: skip


def camera() -> CameraState:
    """Return a camera without noise, motion or compression."""
    state = DOMAINS["studio"].sample(np.random.default_rng(0))
    return replace(
        state, read_noise=0, shot_noise=0, motion=0, vignette=0, sharpen=0, jpeg=0, warmth=0,
        tint=0, saturation=1, contrast=1,
    )  # fmt: skip


def taken(shown: Display, picture: np.ndarray, seed: int = 0) -> np.ndarray:
    return replay_full(picture, shown, camera(), SIZE, np.random.default_rng(seed))[0]


def grey() -> np.ndarray:
    return np.full((128, 128, 3), 128, np.uint8)


def test_equal_seeds_draw_equal_screens_and_pictures(astronaut: np.ndarray) -> None:
    picture = np.ascontiguousarray(astronaut[:256, 100:356])
    for seed in range(3):
        pair = [
            replay_full(picture, sample_display(r), FRONT_DOMAINS["laptop"].sample(r), SIZE, r)[0]
            for r in (np.random.default_rng(seed), np.random.default_rng(seed))
        ]
        assert pair[0].shape == (SIZE, SIZE, 3)
        assert pair[0].dtype == np.uint8
        np.testing.assert_array_equal(*pair)


def test_no_edge_of_the_screen_is_in_view() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shown = sample_display(rng)
        _, matrix = replay_full(white, shown, camera(), SIZE, rng)
        corners = np.array([[(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)]], np.float64) - 0.5
        back = cv2.perspectiveTransform(corners, np.linalg.inv(matrix))[0]
        assert back.min() > -3
        assert back.max() < 66


def test_the_homography_says_where_a_mark_is_seen() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    cv2.circle(picture, (80, 120), 6, (255, 255, 255), -1)
    shown = replace(PLAIN, pose=(12.0, -8.0, 5.0))
    seen, matrix = replay_full(picture, shown, camera(), SIZE, np.random.default_rng(0))
    level = seen.astype(float).sum(2)
    y, x = np.mgrid[:SIZE, :SIZE]
    found = np.array([(level * x).sum(), (level * y).sum()]) / level.sum()
    expected = cv2.perspectiveTransform(np.array([[(80.0, 120.0)]]), matrix)[0, 0]
    np.testing.assert_allclose(found, expected, atol=0.7)


def test_a_grid_finer_than_the_sensor_gives_moire_of_the_aliased_pitch() -> None:
    """A wave of 0.94 cycles a pixel is seen as one of 0.06."""
    fine = taken(replace(PLAIN, pitch=0.94), grey()).astype(float)
    row = fine[..., 1].mean(0)
    power = np.abs(np.fft.rfft(row - row.mean()))
    peak = int(power.argmax()) / SIZE
    assert peak == pytest.approx(0.06, abs=0.015)


def test_lens_blur_takes_the_grid_away() -> None:
    def contrast(blur: float) -> float:
        seen = taken(replace(PLAIN, pitch=0.94, blur=blur), grey()).astype(float)
        return float(seen[20:-20, 20:-20].std())

    assert contrast(0.2) > 5
    assert contrast(2.0) < 1


def test_light_on_the_glass_lifts_black() -> None:
    dark = np.zeros((128, 128, 3), np.uint8)
    dark[:, 64:] = 255
    darkest = [
        int(taken(replace(PLAIN, black=black), dark)[40:56, 10:20].max()) for black in (0.0, 0.1)
    ]
    assert darkest[1] > darkest[0] + 40


def test_a_cold_white_turns_grey_blue() -> None:
    warm, cold = (
        taken(replace(PLAIN, white=white), grey()).reshape(-1, 3).mean(0)
        for white in ((1.1, 1.0, 0.85), (0.85, 1.0, 1.25))
    )
    assert cold[2] - cold[0] > 20
    assert warm[0] - warm[2] > 10


def test_what_is_played_loses_its_detail(astronaut: np.ndarray) -> None:
    picture = np.ascontiguousarray(astronaut[:256, 100:356])

    def detail(side: int) -> float:
        seen = taken(replace(PLAIN, detail=side), picture)
        return float(cv2.Laplacian(seen, cv2.CV_32F).std())

    assert detail(256) > 1.5 * detail(60)


@pytest.mark.parametrize("values", [{"detail": 2}, {"pitch": 0.0}, {"fill": -1.0}, {"gamma": 0.0}])
def test_impossible_screens_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="display"):
        Display(**values)  # type: ignore[arg-type]


def test_a_picture_that_is_not_square_is_refused() -> None:
    with pytest.raises(ConfigError, match="square"):
        taken(PLAIN, np.zeros((10, 20, 3), np.uint8))


def test_a_mosaic_keeps_flat_colours_and_gives_fine_lines_false_ones() -> None:
    state = camera()
    flat = np.zeros((64, 64, 3), np.float32) + np.array([0.3, 0.2, 0.1], np.float32)
    rng = np.random.default_rng(0)
    plain, seen = (capture(flat, state, rng, mosaic=mosaic) for mosaic in (False, True))
    assert np.abs(plain.astype(int) - seen).max() <= 1
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::2] = 200
    sharp = replace(state, blur=0.0)
    colour = recapture(lines, sharp, rng, mosaic=True)[8:-8, 8:-8].astype(int)
    assert np.ptp(colour.mean((0, 1))) > 30
    without = recapture(lines, sharp, rng)[8:-8, 8:-8].astype(int)
    assert np.ptp(without.mean((0, 1))) < 3


def test_the_mosaic_is_asked_for_and_draws_nothing_else(astronaut: np.ndarray) -> None:
    """Results of before stand: without it every byte is as it was, and so is what comes after."""
    light = (astronaut[:64, 200:264].astype(np.float32) / 255) ** 2.2
    state = DOMAINS["phone"].sample(np.random.default_rng(3))
    a, b = np.random.default_rng(4), np.random.default_rng(4)
    capture(light, state, a)
    capture(light, state, b, mosaic=True)
    assert a.random() == b.random()
    assert set(DOMAINS) == {"studio", "phone", "webcam", "surveillance"}
