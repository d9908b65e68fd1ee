"""Faces, numbers and plots in words and shapes."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vultus.analysis import Analysis
from vultus.faces import Face, Pose
from vultus.measure.distributions import probit
from vultus.recognition.calibration import Calibration
from vultus.service.pages import plots, wording
from vultus.service.pages.describing import Row, picture, pose, rows, section
from vultus.service.pages.drawing import Plot, Scale, round_ticks

POINTS = [[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]]
CALIBRATION = Calibration(
    space="net@0/none", detector="d", data="people", n_people=50, n_faces=200, n_genuine=1000,
    n_impostor=100_000, thresholds=tuple(np.linspace(0.2, 0.8, 60)),
    fmr=tuple(np.geomspace(0.5, 1e-4, 60)), fnmr=tuple(np.linspace(0, 0.4, 60)), command="none",
)  # fmt: skip


def face(**fields):
    return Face(box=[20, 20, 80, 100], score=0.97, keypoints=POINTS, **fields)


def test_a_full_face_is_told_field_by_field():
    angles = np.linspace(0, 2 * math.pi, 68)
    found = picture(
        Analysis("x", 100, 120, (face(
            landmarks=np.c_[50 + 20 * np.cos(angles), 60 + 20 * np.sin(angles)],
            pose=Pose(25, -12, 3),
            quality={"overall": 0.71, "sharpness": 0.4, "reasons": ["too dark", "turned away"]},
            liveness={"score": 0.98, "decision": "bona fide", "threshold": 0.5},
            expression={"happiness": 0.9, "neutral": 0.1, "valence": -0.5, "arousal": 0.25},
            attributes={"age": 43.26, "sex": "female", "glasses": True, "hair": None},
        ),))
    )  # fmt: skip
    assert found.missing == ("parts",)
    (shown,) = found.faces
    assert len(shown.lines) == 9
    assert shown.pose is not None
    assert shown.pose.words == "turned to the picture's right, slightly looking down"
    sections = {section.title: section.rows for section in shown.sections}
    assert list(sections) == ["Quality", "Liveness", "Expression", "Attributes"]
    assert sections["Quality"] == (
        Row("Overall", "0.71", 0.71),
        Row("Reasons", "too dark; turned away"),
        Row("Sharpness", "0.40", 0.4),
    )
    assert sections["Liveness"][0] == Row("Decision", "bona fide")
    assert Row("Valence", "\N{MINUS SIGN}0.50", 0.25, 0.25) in sections["Expression"]
    assert Row("Arousal", "+0.25", 0.125, 0.5) in sections["Expression"]
    assert sections["Attributes"] == (
        Row("Age", "43.3"),
        Row("Sex", "female"),
        Row("Glasses", "yes"),
        Row("Hair", "not known"),
    )


def test_a_bare_face_names_what_is_missing():
    found = picture(Analysis("x", 100, 120, (face(),)))
    assert found.missing == (
        "landmarks", "pose", "quality", "liveness", "expression", "attributes", "parts",
    )  # fmt: skip
    assert found.faces[0].sections == ()
    assert found.faces[0].summary == "60 by 80 pixels, found with 97 % confidence"
    assert picture(Analysis("x", 100, 120)).missing == ()


def test_a_long_section_shows_its_summary_and_the_rest_on_demand():
    long = section("Quality", {f"m{i}": 0.5 for i in range(9)} | {"reasons": [], "overall": 0.4})
    assert [row.name for row in long.rows] == ["Overall", "Reasons"]
    assert len(long.more) == 9
    assert section("Expression", {f"m{i}": 0.1 for i in range(9)}).more == ()


def test_fields_of_any_shape_become_rows():
    nested = {"eyes": {"left": {"open": 0.25}, "right": "closed"}, "count": 3, "list": []}
    assert rows(nested) == (
        Row("Eyes: Left: Open", "0.25", 0.25),
        Row("Eyes: Right", "closed"),
        Row("Count", "3"),
        Row("List", "none"),
    )
    assert rows(0.5) == (Row("Value", "0.5"),)
    assert len(rows({str(i): i for i in range(500)})) == 40


@pytest.mark.parametrize(
    ("angles", "words", "nose"),
    [
        ((0, 0, 0), "facing the camera", (0, 0)),
        ((40, 0, 0), "turned to the picture's right", (math.sin(math.radians(40)), 0)),
        ((-60, 0, 0), "far turned to the picture's left", (-math.sin(math.radians(60)), 0)),
        ((0, 30, 0), "looking up", (0, -0.5)),
        ((0, 0, 30), "tilted clockwise", (0, 0)),
        # A head that looks up and is then turned a quarter clockwise looks to the right.
        ((0, 30, 90), "looking up, far tilted clockwise", (0.5, 0)),
    ],
)
def test_the_pose_is_drawn_as_its_signs_say(angles, words, nose):
    told = pose(dict(zip(("yaw", "pitch", "roll"), angles, strict=True)))
    assert told.words == words
    assert told.axes[2][1:] == pytest.approx(nose, abs=1e-9)


@given(*[st.floats(-90, 90)] * 3)
def test_the_axes_of_a_head_stay_in_the_circle(yaw, pitch, roll):
    for _, x, y in pose({"yaw": yaw, "pitch": pitch, "roll": roll}).axes:
        assert math.hypot(x, y) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.081, "8.1 %"), (0.5, "50 %"), (1.0, "100 %"), (0.9958, "99.6 %"), (0.99997, "99.997 %"),
     (0.00094, "0.094 %"), (0.0, "0 %"), (8.9e-7, "0.000089 %"), (None, "unknown"),
     (math.nan, "unknown")],
)  # fmt: skip
def test_shares_are_told_in_percent(value, words):
    assert wording.percent(value).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.001, "1 in 1,000"), (1e-6, "1 in 1,000,000"), (0.1, "1 in 10"), (0.5, "5 in 10"),
     (0.45, "4.5 in 10"), (0.0, "none"), (0.0009, "1 in 1,100"), (None, "an unknown share")],
)  # fmt: skip
def test_rare_rates_are_told_as_one_in_so_many(value, words):
    assert wording.one_in(value) == words


@pytest.mark.parametrize(("size", "words"), [(7, "7 B"), (1500, "1.5 kB"), (10 * 2**20, "10 MB")])
def test_sizes(size, words):
    assert wording.bytes_(size) == words


def test_code_between_backticks_is_marked_and_everything_escaped():
    assert wording.marked("run `a <b>` & go") == "run <code>a &lt;b&gt;</code> &amp; go"
    assert wording.marked("odd ` <i>") == "odd ` &lt;i&gt;"


@given(st.floats(-100, 100), st.floats(0.001, 100))
def test_round_ticks_lie_within_and_are_few(low, width):
    ticks = round_ticks(low, low + width)
    values = [value for value, _ in ticks]
    assert 1 <= len(values) <= 8
    assert all(low - 1e-6 <= value <= low + width + 1e-6 for value in values)
    assert len({text for _, text in ticks}) == len(ticks)


def test_scales_map_their_ends_and_keep_what_lies_beyond_inside():
    scale = Scale(1e-4, 1, 100, 500, np.log10)
    assert scale([1e-4, 1e-2, 1, 7, 1e-9]).tolist() == [100, 300, 500, 500, 100]
    middle = Scale(0.1, 0.9, 0, 10, probit)
    assert float(middle(0.5)) == pytest.approx(5)


def test_texts_of_plots_are_escaped():
    plot = Plot("p", "<b>", 'a "quoted" & text')
    plot.note("quiet", 1.0, 2.0, "<script>")
    svg = plot.markup()
    assert "<b>" not in svg
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


@pytest.mark.parametrize("similarity", [None, -1.0, 0.1, 0.5, 0.79, 1.0])
def test_plots_of_a_calibration_stay_in_their_frame(similarity):
    for svg in (
        plots.densities(CALIBRATION, similarity, 0.55),
        plots.error_rates(CALIBRATION, similarity, 0.55),
        plots.det_of_calibration(CALIBRATION),
    ):
        assert "style=" not in svg
        assert 'role="img"' in svg
        width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
        for points in re.findall(r'points="([^"]+)"', svg):
            xy = np.array([pair.split(",") for pair in points.split()], float)
            assert np.isfinite(xy).all()
            assert (xy >= 0).all()
            assert (xy[:, 0] <= width).all()
            assert (xy[:, 1] <= height).all()


@pytest.mark.parametrize(
    ("fmr", "fnmr"),
    [
        ((0.4,), (0.0,)),
        ((0.4, 0.4), (0.1, 0.1)),
        ((0.4, 0.0), (0.0, 0.0)),
        ((1.0, 0.1), (0.0, 1.0)),
    ],
)
def test_calibrations_of_any_kind_are_drawn_or_left_out(fmr, fnmr):
    odd = replace(
        CALIBRATION, thresholds=tuple(np.linspace(0.3, 0.5, len(fmr))), fmr=fmr, fnmr=fnmr
    )
    for svg in (plots.densities(odd, 0.4, 0.4), plots.error_rates(odd, 0.4, 0.4),
                plots.det_of_calibration(odd)):  # fmt: skip
        assert "nan" not in svg
        assert "inf" not in svg


def test_an_operating_point_has_intervals_around_its_rates():
    point = plots.operating_point(CALIBRATION, 0.01)
    assert point.fmr.value <= 0.01
    for rate in (point.fmr, point.fnmr):
        assert rate.low < rate.value < rate.high
