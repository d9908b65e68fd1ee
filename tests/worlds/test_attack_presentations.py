"""Attacks: what each species must and must not show in every channel, and over time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.errors import ConfigError
from vultus.worlds import (
    DOMAINS,
    INJECTIONS,
    MASKS,
    SHEETS,
    SPECIES,
    CaptureDomain,
    Lighting,
    Part,
    Sample,
    Sheet,
    WearSpec,
    World,
    WorldSpec,
    adversarial,
    capture,
    clip,
    cues,
    fit_cues,
    recapture,
    resynthesised,
    sample_sheet,
    show,
    swap,
)
from vultus.worlds.channels import MASKED
from vultus.worlds.motion import blinks, drift

BARE = WearSpec(0, 0, 0, 0, 0)


@cache
def world(species: str, size: int = 80) -> World:
    return World(WorldSpec(size=size, identities=5, species=(species,), channels=True, wear=BARE))


@cache
def sample(species: str, index: int = 1) -> Sample:
    return world(species).sample(4, index)


def skin(s: Sample) -> np.ndarray:
    return np.isin(s.parts, (Part.SKIN, Part.NOSE)) & ~s.occluded


def plane_residual(s: Sample) -> float:
    """Deviation in centimetres of the depth inside the face box from the best plane."""
    x1, y1, x2, y2 = np.clip(s.box, 0, 79).astype(int)
    y, x = np.mgrid[y1:y2, x1:x2]
    d = s.depth[y1:y2, x1:x2]
    ok = np.isfinite(d)
    a = np.stack([x[ok], y[ok], np.ones(ok.sum())], 1)
    # A plane in space is linear in inverse depth on the picture.
    inverse = 1 / d[ok]
    fit = np.linalg.lstsq(a, inverse, rcond=None)[0]
    return float(np.std(1 / (a @ fit) - d[ok]))


@pytest.mark.parametrize("species", ["bona_fide", *SPECIES])
def test_every_species_draws_every_channel(species: str) -> None:
    s = sample(species)
    assert s.species == species
    assert s.live is (species == "bona_fide")
    assert s.colour.std() > 5
    assert s.infrared is not None
    assert s.thermal is not None
    for channel in (s.infrared, s.thermal):
        assert channel.shape == (80, 80)
        assert channel.dtype == np.float32
        assert np.isfinite(channel).all()
    assert s.thermal.min() > 10
    assert s.thermal.max() < 45
    assert (s.parts == Part.NOSE).sum() > 10


def test_sheets_are_flat_and_heads_are_not() -> None:
    assert plane_residual(sample("bona_fide")) > 0.8
    for species in MASKS:
        assert plane_residual(sample(species)) > 0.8, species
    for species in ("print", "replay"):
        assert plane_residual(sample(species)) < 0.25, species


def test_a_bent_print_is_a_cylinder() -> None:
    for index in range(4):
        s = sample("print_bent", index)
        assert 0.02 < plane_residual(s) < 2.5
        row = s.depth[40]
        assert np.isfinite(row[30:50]).all()


def test_infrared_sees_skin_not_screens() -> None:
    live, screen = sample("bona_fide"), sample("replay")
    assert live.infrared is not None
    assert screen.infrared is not None
    assert np.median(live.infrared[skin(live)]) > 0.3
    assert np.median(screen.infrared[skin(screen)]) < 0.1


def test_infrared_evens_out_skin_tones() -> None:
    w = world("bona_fide")
    shot = w.shot(4, 1)
    red, infrared = [], []
    for melanin in (0.1, 1.8):
        view = w.view(replace(shot, look=replace(shot.look, melanin=melanin, beard=0.0)))
        on = np.isin(view.parts, (Part.SKIN, Part.NOSE))
        assert view.infrared is not None
        red.append(float(np.median(view.radiance[on][:, 1])))
        infrared.append(float(np.median(view.infrared[on][:, 0])))
    assert red[0] / red[1] > 4
    assert infrared[0] / infrared[1] < 1.5


def test_infrared_of_a_print_has_little_picture() -> None:
    live, paper = sample("bona_fide"), sample("print")
    assert live.infrared is not None
    assert paper.infrared is not None

    def contrast(s: Sample, channel: np.ndarray) -> float:
        face = channel[np.isin(s.parts, (1, 2, 3, 4, 5, 6, 7, 9))]
        return float(face.std() / face.mean())

    assert contrast(paper, paper.infrared) < 0.6 * contrast(live, live.infrared)


def test_thermal_tells_the_living_from_paper_and_plastic() -> None:
    def warm(species: str) -> float:
        s = sample(species)
        assert s.thermal is not None
        return float(np.median(s.thermal[skin(s)]) - world(species).shot(4, 1).room.ambient)

    living = warm("bona_fide")
    assert living > 5
    assert warm("print") < 0.35 * living
    assert warm("mask_rigid") < 0.5 * living
    assert warm("mask_paper") < warm("mask_flexible") < living
    for species in INJECTIONS:
        assert warm(species) == pytest.approx(living, abs=3.0), species


def test_eye_holes_of_a_mask_stay_warm() -> None:
    s = World(WorldSpec(size=160, identities=5, species=("mask_rigid",), channels=True, wear=BARE))
    s = s.sample(4, 2)
    assert s.thermal is not None
    eyes = np.isin(s.parts, (Part.LEFT_EYE, Part.RIGHT_EYE))
    assert np.percentile(s.thermal[eyes], 80) > np.median(s.thermal[skin(s)]) + 2


@pytest.mark.parametrize("index", [2, 3])
def test_nothing_glows_around_a_mannequin(index: int) -> None:
    w = World(WorldSpec(size=112, identities=5, species=("mannequin",), channels=True, wear=BARE))
    s = w.sample(4, index)
    assert s.thermal is not None
    body = np.isfinite(s.depth).astype(np.uint8)
    edge = (cv2.dilate(body, np.ones((3, 3))) > 0) & (body == 0)
    warmest = s.thermal[cv2.erode(body, np.ones((7, 7))) > 0].max()
    assert s.thermal[edge].max() < warmest + 0.4


def test_the_room_stays_cool_between_a_mask_and_the_hair() -> None:
    """Where a mask ends it is no warmer than what lies on its two sides."""
    w = World(WorldSpec(size=160, identities=5, species=("mask_rigid",), channels=True, wear=BARE))
    s = w.sample(4, 2)
    assert s.thermal is not None
    covered = np.isin(s.parts, MASKED).astype(np.uint8)
    hair = s.parts == Part.HAIR
    border = (cv2.dilate(covered, np.ones((3, 3))) > 0) & hair
    assert border.any()
    assert np.median(s.thermal[border]) < np.median(s.thermal[hair]) + 0.4


def test_cut_outs_show_depth_behind_the_paper() -> None:
    w = World(WorldSpec(size=160, identities=5, species=("print_cut",), channels=True, wear=BARE))
    s = w.sample(4, 1)
    box = np.clip(s.box, 0, 159).astype(int)
    inside = s.depth[box[1] : box[3], box[0] : box[2]]
    assert np.isfinite(inside).mean() > 0.9
    eyes = s.landmarks[36:48].mean(0).round().astype(int)
    assert s.depth[eyes[1], eyes[0]] > 0


def test_points_of_a_shown_picture_lie_on_its_parts() -> None:
    for species in SHEETS:
        s = sample(species)
        hits = []
        for i in [*range(28, 36), *range(49, 60)]:
            x, y = s.landmarks[i].round().astype(int)
            around = s.parts[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            hits.append(np.isin(around, (Part.NOSE, Part.UPPER_LIP, Part.LOWER_LIP)).any())
        assert np.mean(hits) > 0.85, species


def test_attacks_show_faces_as_large_as_living_ones() -> None:
    def height(species: str) -> float:
        boxes = np.array([world(species).sample(4, i).box for i in range(6)])
        return float(np.median(boxes[:, 3] - boxes[:, 1]))

    for species in ("print", "replay"):
        assert height(species) == pytest.approx(height("bona_fide"), rel=0.25), species


def test_show_is_a_homography_of_a_flat_sheet() -> None:
    light = Lighting(
        np.array([[0, 0, 1]], np.float32),
        np.ones((1, 3), np.float32),
        np.full(3, 0.3, np.float32),
        np.full(3, 0.3, np.float32),
        shadows=False,
    )
    picture = np.full((90, 90, 3), 255, np.uint8)
    picture[:, 45:] = 0
    sheet = Sheet(pose=(0, 0, 0), border=0.0, glare=0.0)
    rng = np.random.default_rng(0)
    shown = show(picture, sheet, fill=0.5, size=64, lighting=light, rng=rng)
    on = np.isfinite(shown.depth)
    assert on.sum() == pytest.approx((0.5 * 64) ** 2, rel=0.1)
    assert np.ptp(shown.depth[on]) < 1e-3
    assert shown.radiance[32, 25, 0] > 3 * shown.radiance[32, 38, 0]
    turned = show(
        picture, replace(sheet, pose=(30.0, 0, 0)), fill=0.5, size=64, lighting=light, rng=rng
    )
    row = turned.depth[32][np.isfinite(turned.depth[32])]
    assert row[0] < row[-1], "yaw > 0 faces right: the left edge comes nearer"


@given(seed=st.integers(0, 10_000), fill=st.floats(0.3, 2.0), species=st.sampled_from(SHEETS))
@settings(deadline=None, max_examples=60)
def test_any_drawn_sheet_can_be_shown(seed: int, fill: float, species: str) -> None:
    rng = np.random.default_rng(seed)
    light = world("print").shot(0, seed).lighting
    picture = np.full((20, 20, 3), 128, np.uint8)
    shown = show(picture, sample_sheet(species, rng), fill=fill, size=16, lighting=light, rng=rng)
    assert np.isfinite(shown.radiance).all()
    assert (shown.radiance >= 0).all()
    assert np.isfinite(shown.depth[8, 8])
    assert shown.depth[8, 8] > 5


def test_swap_takes_the_inner_face_and_leaves_the_rest() -> None:
    a, b = sample("bona_fide", 0), sample("bona_fide", 2)
    out = swap(a.colour, a.landmarks, b.colour, b.landmarks)
    assert out.shape == a.colour.shape
    changed = np.abs(out.astype(int) - a.colour).max(2) > 6
    assert changed[skin(a)].mean() > 0.15
    assert changed[np.isinf(a.depth)].mean() < 0.02
    same = swap(a.colour, a.landmarks, a.colour, a.landmarks)
    assert np.abs(same.astype(int) - a.colour).mean() < 1.0


def test_adversarial_noise_stays_in_its_ball() -> None:
    picture = sample("bona_fide").colour
    rng = np.random.default_rng(0)
    direction = np.sign(rng.standard_normal(picture.shape)).astype(np.float32)
    for gradient in (None, lambda x: direction):
        out = adversarial(picture, rng, epsilon=4.0, gradient=gradient)
        change = out.astype(int) - picture
        assert np.abs(change).max() <= 4
        assert np.abs(change).mean() > 1.5
    raised = (out.astype(float) - picture) * direction
    assert raised.mean() > 2, "the ascent raises what the attacker wants raised"
    with pytest.raises(ConfigError, match="epsilon"):
        adversarial(picture, rng, epsilon=0)


def test_decoders_leave_a_periodic_trace() -> None:
    picture = sample("bona_fide").colour

    def nyquist(p: np.ndarray) -> float:
        grey = p.astype(float).mean(2)
        signs = (-1.0) ** np.arange(80)
        return float(abs((grey * signs[None]).mean()) + abs((grey * signs[:, None]).mean()))

    made = resynthesised(picture, np.random.default_rng(3))
    assert nyquist(made) > 3 * nyquist(picture)
    assert np.abs(made.astype(int) - picture).mean() < 12


def test_any_photograph_can_be_attacked(astronaut: np.ndarray) -> None:
    light = world("print").shot(0, 0).lighting
    for species in ("print", "print_bent", "replay"):
        rng = np.random.default_rng(8)
        shown = show(
            astronaut, sample_sheet(species, rng), fill=0.9, size=96, lighting=light, rng=rng
        )
        state = DOMAINS["phone"].sample(rng)
        picture = capture(shown.radiance[..., :3], state, rng)
        assert picture.shape == (96, 96, 3)
        assert np.isfinite(shown.depth).mean() > 0.5


def test_capture_domains_differ_in_noise_and_detail(astronaut: np.ndarray) -> None:
    def noise(domain: CaptureDomain) -> float:
        rng = np.random.default_rng(1)
        flat = np.full((96, 96, 3), 110, np.uint8)
        return float(recapture(flat, domain.sample(rng), rng).std())

    assert noise(DOMAINS["webcam"]) > 1.5 * noise(DOMAINS["studio"])
    rng = np.random.default_rng(1)
    crop = astronaut[:200, 150:350]
    sharp = cues(recapture(crop, DOMAINS["studio"].sample(rng), rng)[None])[0, 0]
    soft = cues(recapture(crop, replace(DOMAINS["studio"], blur=(20, 20)).sample(rng), rng)[None])
    assert soft[0, 0] < sharp - 1


@pytest.mark.parametrize("values", [{"blur": (3, 1)}, {"jpeg": (-5, 50)}, {"scale": (0.5, 1)}])
def test_bad_domains_are_refused(values: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match="domain"):
        CaptureDomain("broken", **values)  # type: ignore[arg-type]


def test_the_cue_baseline_learns_what_blur_gives_away(astronaut: np.ndarray) -> None:
    import cv2

    rng = np.random.default_rng(0)
    crops, live = [], []
    for i in range(40):
        y, x = rng.integers(0, 380, 2)
        crop = astronaut[y : y + 96, x : x + 96]
        live.append(i % 2 == 0)
        crops.append(crop if live[-1] else cv2.GaussianBlur(crop, (0, 0), 2.0))
    model = fit_cues(np.stack(crops[:24]), live[:24])
    scores = model.score(np.stack(crops[24:]))
    truth = np.array(live[24:])
    assert scores[truth].min() > scores[~truth].max()
    with pytest.raises(ConfigError, match="bona fide and attack"):
        fit_cues(np.stack(crops[:4]), [True] * 4)
    with pytest.raises(ConfigError, match="shape"):
        cues(np.zeros((4, 4, 3), np.uint8))


def test_living_clips_blink_and_deform_where_prints_move_rigidly() -> None:
    def nonrigid(species: str) -> float:
        c = clip(world(species), 9, 2, 30, fps=10)
        assert c.colour.shape == (30, 80, 80, 3)
        marks = np.stack([f.landmarks for f in c.frames])
        first, residual = np.concatenate([marks[0], np.ones((68, 1))], 1), []
        for frame in marks[1:]:
            fit = np.linalg.lstsq(first, frame, rcond=None)[0]
            residual.append(np.abs(first @ fit - frame).mean())
        return float(np.mean(residual))

    assert nonrigid("print") < 0.1 < nonrigid("bona_fide")


def test_blinks_are_short_and_independent_of_the_frame_rate() -> None:
    slow = blinks(np.random.default_rng(2), 300, 10)
    fast = blinks(np.random.default_rng(2), 900, 30)
    assert 0.9 < slow.max() <= 1
    assert 0.01 < (slow > 0.3).mean() < 0.3
    np.testing.assert_allclose(slow, fast[::3], atol=1e-6)


def test_drift_is_smooth_and_bounded() -> None:
    time = np.arange(500) / 25
    path = drift(np.random.default_rng(1), time, (5.0, 2.0), 0.4)
    assert path.shape == (500, 2)
    assert np.abs(np.diff(path[:, 0])).max() < 1.5
    assert 1 < path[:, 0].std() < 9


def test_clips_are_deterministic_and_refuse_nonsense() -> None:
    a, b = (clip(world("replay"), 1, 0, 3) for _ in range(2))
    np.testing.assert_array_equal(a.colour, b.colour)
    assert (a.colour[0] != a.colour[2]).any()
    with pytest.raises(ConfigError, match="clip"):
        clip(world("replay"), 1, 0, 0)
